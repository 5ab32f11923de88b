"""The vault on bitcoind and anvil: real deposits, real payouts, the program itself."""

import asyncio
import json
import os
import signal
import sys

import pytest

from swapdesk.child import Child
from tests.vault.real_site import BTC, ETH, PATIENCE_SECONDS, USDT, RealSite
from tests.vault.site import WORDS

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


async def test_swaps_both_ways(real_site: RealSite) -> None:
    """BTC to USDT and ETH to BTC: paid once, exactly, and final with the fee the chain took."""
    site = real_site
    await site.initialise()
    vault = await site.vault()
    first, second = site.open("btc", "usdt_eth"), site.open("eth", "btc")
    await vault.tick()
    site.ask(first, 590 * USDT, await site.pay_in(first, BTC // 100))
    site.ask(second, BTC // 200, await site.pay_in(second, ETH * 11 // 100))
    await vault.tick()
    for order in (first, second):
        assert site.desk.outcomes(order.order_id) == ["sent"]
    await site.mine()
    await vault.tick()
    for order in (first, second):
        assert site.desk.outcomes(order.order_id) == ["sent", "final"]
    assert await site.received(first) == 590 * USDT
    assert await site.received(second) == BTC // 200
    fees = {r.order_id: r.fee_units for r in site.desk.reports if r.outcome == "final"}
    txid = next(r.txid for r in site.desk.reports if r.order_id == first.order_id)
    receipt = await site.anvil.rpc("eth_getTransactionReceipt", txid)
    gas, price = int(receipt["gasUsed"], 16), int(receipt["effectiveGasPrice"], 16)
    assert fees[first.order_id] == gas * price
    beats = len(site.desk.beats)  # the next one comes when it is due, not with every tick
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(site.desk.beats) == beats:
            await asyncio.sleep(0.02)
            await vault.tick()
    balances = {b.asset: b.units for b in site.desk.beats[-1].balances}
    assert balances["btc"] == 15 * BTC - BTC // 200 - fees[second.order_id]
    assert balances["usdt_eth"] == 10**13 - 590 * USDT
    await vault.close()


async def test_the_program_initialises_runs_and_ends(real_site: RealSite) -> None:
    """init seals the words and writes the public file; run pays; SIGTERM ends it with status 0."""
    site = real_site
    path = site.write()
    env = {**os.environ, "SWAPDESK_VAULT_SITE": str(path)}
    log = site.folder / "vault.log"
    program = [sys.executable, "-m", "swapdesk_vault"]
    init = Child([*program, "init", "--dev-seed"], log=log, env=env)
    assert init.wait() == 0, log.read_text()
    public = json.loads((site.folder / "vault.pub.json").read_text())
    assert public["world"] == "dev"
    assert public["link_key"] == site.keyring.link_key().public_key().public_bytes_raw().hex()
    assert (site.folder / "vault.seed").stat().st_mode & 0o777 == 0o600
    running = Child([*program, "run"], log=log, env=env)
    order = site.open("eth", "btc")
    await site.until(lambda: bool(site.desk.attestations))
    site.ask(order, BTC // 200, await site.pay_in(order, ETH * 11 // 100))
    await site.until(lambda: site.desk.outcomes(order.order_id) == ["sent"])
    await site.until(lambda: "final" in site.desk.outcomes(order.order_id), mine=True)
    assert await site.received(order) == BTC // 200
    status = Child([*program, "status"], log=site.folder / "status", env=env)
    assert status.wait() == 0
    shown = (site.folder / "status").read_text()
    assert "running    yes" in shown
    assert "STOPPED" not in shown
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(30) == 0, log.read_text()
    assert not any(word in log.read_text() for word in (WORDS, "sesame", "tprv", "xprv"))
