"""The maintenance switch: while it is on, no order opens; everything else goes on.

It lies in the database, and every process reads it at most a second old.
"""

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused

Q = queries(__package__, "maintenance.sql")


class Maintenance(msgspec.Struct, frozen=True):
    """Whether new orders are paused, since when, and who said so."""

    on: bool
    since_ms: int
    by: str


async def set_maintenance(desk: Desk, *, on: bool, by: str) -> Maintenance:
    """Turn the switch; what it says now. Repeats change nothing."""
    async with desk.db.transaction() as tx:
        await tx.execute(Q.switch, on, desk.world.now(), by)
        return await _read_in(tx)


async def read_maintenance(desk: Desk) -> Maintenance:
    """What the switch says, as committed now."""
    async with desk.db.pool.acquire() as connection:
        return await _read_in(connection)


async def in_maintenance(desk: Desk) -> bool:
    """What the switch said at most a second ago."""
    return (await desk.recent(read_maintenance)).on


async def require_open(desk: Desk) -> None:
    """Refused MAINTENANCE while new orders are paused."""
    if await in_maintenance(desk):
        raise Refused(No.MAINTENANCE)


async def _read_in(tx: Tx) -> Maintenance:
    row = await tx.fetchrow(Q.read)
    assert row is not None, "the migration wrote the one row"
    return Maintenance(row["on"], row["since_ms"], row["by"])
