"""The operator's daily cap: the value of all orders opened in any 24 hours, per installation.

Counted by the minute, in 1/USD_SCALE dollars, when an order opens; what becomes of it later gives
nothing back. Without a cap nothing is counted.
"""

from typing import Final

from swapdesk.db import Tx, queries
from swapdesk.engine.desk import Desk

Q = queries(__package__, "daily_cap.sql")

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1_440


async def lock_room(desk: Desk, tx: Tx) -> int:
    """What may still be opened. Until `tx` ends, every other process waits here."""
    await tx.execute(Q.lock)
    return await _room_in(desk, tx)  # an own statement, an own snapshot: it sees who went before


async def count_opened(desk: Desk, tx: Tx, value_usd: int) -> None:
    """Count what `tx` opens. Call with the room locked."""
    if value_usd:
        await tx.execute(Q.add, desk.world.now() // MINUTE_MS, value_usd)


async def daily_room(desk: Desk) -> int | None:
    """What may still be opened now, at most a second old; None: there is no cap."""
    return None if desk.terms.daily_cap_usd is None else await desk.recent(_room)


async def _room(desk: Desk) -> int:
    async with desk.db.pool.acquire() as connection:
        return await _room_in(desk, connection)


async def _room_in(desk: Desk, tx: Tx) -> int:
    assert desk.terms.daily_cap_usd is not None, "asked only under a cap"
    since = desk.world.now() // MINUTE_MS - DAY_MINUTES
    return max(0, desk.terms.daily_cap_usd - int(await tx.fetchval(Q.opened, since)))


async def forget_daily(desk: Desk) -> None:
    """Delete minutes that no day reaches any more."""
    async with desk.db.transaction() as tx:
        await tx.execute(Q.forget, desk.world.now() // MINUTE_MS - DAY_MINUTES)
