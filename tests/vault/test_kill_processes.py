"""Vault processes killed by SIGKILL on bitcoind and anvil, one after another, at chosen steps.

Every process is told one step to die at and finds an order of its own, beside those that earlier
ones left unfinished. The last one is told nothing and finishes them all: one payout each.
"""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from swapdesk.chains.bitcoin import BitcoinReader
from swapdesk.chains.evm import EvmReader
from swapdesk.child import Child
from swapdesk.handoff import Binding
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.journal import Journal
from swapdesk_vault.link import Link
from swapdesk_vault.senders.bitcoin import BitcoinSender
from swapdesk_vault.senders.evm import EvmSender
from tests.vault.real_site import BTC, ETH, PATIENCE_SECONDS, USDT, RealSite
from tests.vault.reaper import Point, steps

pytestmark = [pytest.mark.anyio, pytest.mark.nodes, pytest.mark.slow]

#: Steps of doubt, refusal and stop; test_kill_everywhere dies there.
OF_TROUBLE = {"Journal.hint", "Journal.trouble", "Journal.refuse", "Journal.alarm", "Journal.stop",
              "Link.deposits"}  # fmt: skip
#: Reading: a death there leaves what it found. One side of each is enough, and the other is cheap
#: elsewhere; these die on both sides.
BOTH_SIDES = {"Journal.keep", "Journal.sent", "Journal.end", "Journal.accept", "Journal.accepted",
              "BitcoinSender.prepare", "BitcoinSender.broadcast", "EvmSender.prepare",
              "EvmSender.broadcast", "HotWallet.note_block", "Link.reports"}  # fmt: skip
CLASSES = (Journal, HotWallet, Link, BitcoinSender, EvmSender, BitcoinReader, EvmReader)
#: The vault reads whole blocks of coins only.
NEVER = {"EvmReader.block"}
POINTS = [
    Point(step, when)
    for step in steps(*CLASSES)
    if step not in OF_TROUBLE | NEVER
    for when in (("before", "after") if step in BOTH_SIDES else ("after",))
]
RUNS_MIN = 20


def launch(path: Path, log: Path, point: Point | None) -> Child:
    """A vault process."""
    told = list(point) if point else []
    return Child(
        [sys.executable, "-m", "tests.vault.launch", path, *told],
        log=log,
        cwd=Path(__file__).parents[2],
    )


async def order(site: RealSite, step: str) -> Binding:
    """An order with a final deposit and its intent; paid in coins when the step is about coins."""
    if step.startswith("BitcoinSender") or step in ("BitcoinReader.locate", "EvmReader.find"):
        binding = site.open("eth", "btc")
        site.ask(binding, BTC // 1000, await site.pay_in(binding, ETH * 21 // 1000))
    else:
        binding = site.open("btc", "usdt_eth")
        site.ask(binding, 59 * USDT, await site.pay_in(binding, BTC // 1000))
    return binding


async def reorganise(site: RealSite, path: Path, log: Path) -> None:
    """A vault reads up to the tip and ends; then the newest blocks of Bitcoin give way."""
    alive, beats = launch(path, log, None), len(site.desk.beats)
    await site.until(lambda: len(site.desk.beats) > beats + 1)
    alive.stop(PATIENCE_SECONDS)
    tip = await site.bitcoind.rpc("getbestblockhash")
    await site.bitcoind.rpc("invalidateblock", tip)
    await site.bitcoind.mine(2, await site.bitcoind.rpc("getnewaddress", path="/wallet/outside"))


async def dead(site: RealSite, doomed: Child) -> int | None:
    """How a process ended, with blocks going on meanwhile; None when it would not."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while doomed.status is None:
                await site.mine()
                await asyncio.sleep(0.1)
    except TimeoutError:
        return None
    finally:
        doomed.stop(0)
    return doomed.status


async def test_each_order_is_paid_once_whoever_is_killed(real_site: RealSite) -> None:
    """Dead at every step of journal, node and link; then quiet; one payout per order."""
    assert len(POINTS) >= RUNS_MIN
    site = real_site
    await site.initialise()
    path, log = site.write(), site.folder / "vault.log"
    orders: list[Binding] = []
    for point in POINTS:
        orders.append(await order(site, point.step))
        if point.step == "HotWallet.undo_block":
            await reorganise(site, path, log)
        status = await dead(site, launch(path, log, point))
        assert status == -signal.SIGKILL, f"{point} was never visited:\n{log.read_text()[-4000:]}"
    last = launch(path, log, None)
    ended = {"sent", "final"}
    await site.until(
        lambda: all(set(site.desk.outcomes(each.order_id)) == ended for each in orders), mine=True
    )
    last.stop(30)
    for each in orders:
        assert await site.received(each) == (59 * USDT if each.to_asset == "usdt_eth" else 100_000)
        assert site.desk.outcomes(each.order_id) == ["sent", "final"]
    assert site.desk.beats[-1].stopped is None
