"""Killed before and after every step there is, a vault pays once and reports rightly."""

import itertools
from collections.abc import Callable
from typing import NoReturn

import msgspec
import pytest

from swapdesk.chains.simulated import SimulatedReader
from swapdesk.handoff import Binding
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.journal import Journal
from swapdesk_vault.link import Link
from swapdesk_vault.operator import resume
from swapdesk_vault.senders.simulated import SimulatedSender
from swapdesk_vault.vault import Vault
from tests.vault.reaper import Point, Reaper, steps
from tests.vault.site import LTC, USDT, Site

pytestmark = pytest.mark.anyio

#: Steps that only a chain of coins needs: bitcoind sees them in test_kill_processes.
OF_COINS = {
    "HotWallet.cursor",
    "HotWallet.note_block",
    "HotWallet.undo_block",
    "HotWallet.coins",
    "SimulatedReader.ref",
    "SimulatedReader.block",
}
STEPS = [
    step
    for step in steps(Journal, HotWallet, Link, SimulatedSender, SimulatedReader)
    if step not in OF_COINS
]
TICKS_MAX = 30


class Killed(BaseException):
    """The process is gone."""


def die() -> NoReturn:
    """As close to SIGKILL as one process allows."""
    raise Killed


class Story:
    """One order paid, one intent refused, a wrong chain, a stop: every step is visited."""

    def __init__(self, site: Site, reaper: Reaper) -> None:
        self.site, self.reaper = site, reaper
        self.deaths = 0
        self.vault: Vault | None = None

    async def tick(self) -> None:
        """One tick of the living vault; a killed one leaves its rows to the next."""
        try:
            if self.vault is None:
                self.vault = await self.site.vault()
                self.reaper.stalk(self.vault)
            await self.vault.tick()
        except Killed:
            assert self.vault is not None
            self.deaths += 1
            self.vault._journal.connection.terminate()
            await self.vault._link.close()
            self.vault = None

    async def until(self, condition: Callable[[], bool], *, mine: int = 0) -> None:
        """Tick until something holds."""
        for _ in range(TICKS_MAX):
            await self.tick()
            if condition():
                return
            if mine:
                self.site.mine(mine)
        raise AssertionError("it never came to that")

    async def tell(self) -> tuple[Binding, Binding]:
        """The paid order and the refused one."""
        site, desk = self.site, self.site.desk
        paid = site.open()
        refused = msgspec.structs.replace(paid, order_id=site.order())
        await self.other_chain()
        await self.until(lambda: paid.order_id in desk.attestations)
        chain = site.chains["litecoin"]
        txid = chain.call("sim_faucet", [paid.address, "ltc", LTC])
        site.mine(1)
        deposit = site.deposit("litecoin", txid, LTC)
        desk.deposits[paid.order_id] = (deposit,)
        site.ask(paid, 99 * USDT, LTC, deposit)
        site.ask(refused, 99 * USDT, LTC, deposit)
        self.reaper.armed = True
        await self.until(lambda: desk.outcomes(refused.order_id) == ["refused"])
        await self.tick()
        site.mine()
        await self.until(lambda: desk.outcomes(paid.order_id) == ["sent", "final"], mine=1)
        return paid, refused

    async def other_chain(self) -> None:
        """The node of Tron shows another chain for a moment."""
        chain = self.site.chains["tron"]
        real, chain._chain = chain._chain, "simulated-other"
        self.site.world.shift_ms += 3_600_000
        await self.tick()
        await self.tick()
        chain._chain = real
        self.site.world.shift_ms += 1_000

    async def stop(self) -> None:
        """A foreign binding, and the operator afterwards."""
        site, desk = self.site, self.site.desk
        foreign = msgspec.structs.replace(site.open(), address=site.customer("litecoin"))
        desk.bindings[-1] = foreign
        await self.until(lambda: desk.beats[-1].stopped is not None)
        desk.bindings.pop()
        assert await resume(site.dsns.owner, site.world, "seen") == 1
        await self.until(lambda: desk.beats[-1].stopped is None)


@pytest.mark.parametrize("step", STEPS)
async def test_one_payout_whatever_dies(site: Site, step: str) -> None:
    """Killed before a step, after it, and at its first visit once the intent is there."""
    points = (Point(step, "before"), Point(step, "after"))
    for point, early in itertools.product(points, (True, False)):
        hot = site.hot("tron")
        had = site.held("tron", hot, "usdt_trc20"), site.received("usdt_trc20")
        reaper = Reaper(die, point)
        reaper.armed = early
        story = Story(site, reaper)
        paid, refused = await story.tell()
        await story.stop()
        assert story.deaths == 1 or not early, f"{step} was never visited"
        site.mine(3)
        assert had[0] - site.held("tron", hot, "usdt_trc20") == 99 * USDT
        assert site.received("usdt_trc20") - had[1] == 99 * USDT
        assert site.desk.outcomes(paid.order_id) == ["sent", "final"]
        assert site.desk.outcomes(refused.order_id) == ["refused"]
        assert story.vault is not None
        await story.vault.close()
