"""The operator's daily cap: the value of all orders opened in any 24 hours, per installation.

Counted by the minute, in 1/USD_SCALE dollars, when an order opens; what becomes of it later gives
nothing back. Without a cap nothing is counted.
"""

from collections.abc import Sequence
from typing import Final

from swapdesk.db import Tx, queries
from swapdesk.engine.desk import Desk

Q = queries(__package__, "daily_cap.sql")

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1_440


async def take_daily(desk: Desk, tx: Tx, values_usd: Sequence[int]) -> list[bool]:
    """For each value whether it still fits; those that do are counted, in the order given.

    Call last before the orders are written, in their transaction: under a cap, processes wait for
    each other here.
    """
    cap = desk.terms.daily_cap_usd
    if cap is None or not values_usd:
        return [True for _ in values_usd]
    await tx.execute(Q.lock)
    minute = desk.world.now() // MINUTE_MS
    room = cap - int(await tx.fetchval(Q.opened, minute - DAY_MINUTES))
    taken, fits = 0, []
    for value in values_usd:
        fits.append(taken + value <= room)
        taken += value if fits[-1] else 0
    if taken:
        await tx.execute(Q.add, minute, taken)
    return fits


async def daily_room(desk: Desk) -> int | None:
    """What may still be opened now, at most a second old; None: there is no cap."""
    return None if desk.terms.daily_cap_usd is None else await desk.recent(_room)


async def _room(desk: Desk) -> int:
    cap = desk.terms.daily_cap_usd
    assert cap is not None
    since = desk.world.now() // MINUTE_MS - DAY_MINUTES
    async with desk.db.pool.acquire() as connection:
        return max(0, cap - int(await connection.fetchval(Q.opened, since)))


async def forget_daily(desk: Desk, tx: Tx) -> None:
    """Delete minutes that no day reaches any more."""
    await tx.execute(Q.forget, desk.world.now() // MINUTE_MS - DAY_MINUTES)
