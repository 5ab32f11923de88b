"""Keeping one round of rates: an immutable snapshot that quotes refer to."""

from collections.abc import Sequence
from typing import Final

from swapdesk.engine.desk import Desk
from swapdesk.rates import store as rates
from swapdesk.rates.book import TICKS_MAX, Tick

#: Snapshots that no order used are kept this long.
KEEP_MS: Final = 3_600_000
FORGET_AT_MOST: Final = 1_000


async def keep_rates(desk: Desk, ticks: Sequence[Tick]) -> None:
    """Write a snapshot of `ticks`, and forget a page of old unused ones."""
    assert len(ticks) <= TICKS_MAX
    now = desk.world.now()
    async with desk.db.transaction() as tx:
        last = await rates.newest(tx)
        snapshot = rates.next_snapshot(ticks, last, now, desk.terms.guards)
        await rates.keep(tx, desk.world.uuid(), now, snapshot)
        await rates.forget(tx, now - KEEP_MS, FORGET_AT_MOST)
