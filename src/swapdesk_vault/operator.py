"""What the operator does to the vault's database as its owner. The running vault cannot do these.

A stop is cleared and a held payment is decided by rows that the runtime role may read but not
write: whoever takes over the running vault cannot lift what stopped it.
"""

import uuid
from typing import Final, Literal

import asyncpg
import msgspec

from swapdesk import db
from swapdesk.world import World
from swapdesk_vault.journal import VAULT_LOCK, NotOurs, Q
from swapdesk_vault.payment import Payment

#: How many alarms `status` shows.
ALARMS_SHOWN: Final = 10


class Alarm(msgspec.Struct, frozen=True):
    """Something the operator should know."""

    at_ms: int
    order_id: uuid.UUID | None
    attempt: int | None
    detail: str


class Status(msgspec.Struct, frozen=True):
    """What `status` shows."""

    world: str
    link_key: str
    fence: int
    running: bool
    stops: tuple[tuple[int, str], ...]  #: (when, why) of every stop not yet cleared
    counts: dict[str, int]
    live: tuple[Payment, ...]
    alarms: tuple[Alarm, ...]


async def initialise(dsn_owner: str, world: World, kind: str, link_key: str) -> None:
    """Migrate, and record the world and the seed's link key for ever. Harmless to repeat.

    Raises NotOurs when the database already belongs to another world or seed.
    """
    await db.migrate(dsn_owner, "vault")
    connection = await asyncpg.connect(dsn_owner)
    try:
        await connection.execute(Q.initialise, kind, link_key, world.now())
        meta = await connection.fetchrow(Q.meta)
        assert meta is not None
        if (meta["world"], meta["link_key"]) != (kind, link_key):
            raise NotOurs(
                f"this database belongs to a vault of world {meta['world']!r} with link key"
                f" {meta['link_key'][:16]}…, and that cannot change; use a fresh database"
            )
    finally:
        await connection.close()


async def resume(dsn_owner: str, world: World, reason: str) -> int:
    """Clear every stop; how many there were. The cause must be gone, or the vault stops again."""
    connection = await asyncpg.connect(dsn_owner)
    try:
        done = await connection.execute(Q.resume, world.now(), reason)
    finally:
        await connection.close()
    return int(done.rpartition(" ")[2])


async def judge(
    dsn_owner: str,
    world: World,
    order_id: uuid.UUID,
    attempt: int,
    verdict: Literal["approve", "refuse"],
    reason: str,
) -> None:
    """The operator's word on a held payment. LookupError: no such payment, or it has one."""
    connection = await asyncpg.connect(dsn_owner)
    try:
        await connection.execute(Q.verdict, order_id, attempt, verdict, world.now(), reason)
    except asyncpg.ForeignKeyViolationError:
        raise LookupError(f"there is no payment {order_id}/{attempt}") from None
    except asyncpg.UniqueViolationError:
        raise LookupError(f"payment {order_id}/{attempt} was judged before") from None
    finally:
        await connection.close()


async def status(dsn: str) -> Status:
    """How the vault stands, from its database alone. NotOurs when it was never initialised."""
    connection = await asyncpg.connect(dsn)
    try:
        await db.set_codecs(connection)
        return await _status(connection)
    except asyncpg.UndefinedTableError:
        raise NotOurs("this database has no journal; run swapdesk-vault init") from None
    finally:
        await connection.close()


async def _status(connection: "asyncpg.Connection[asyncpg.Record]") -> Status:
    meta = await connection.fetchrow(Q.meta)
    counts = await connection.fetchrow(Q.counts)
    if meta is None or counts is None:
        raise NotOurs("this database was never initialised; run swapdesk-vault init")
    return Status(
        world=meta["world"],
        link_key=meta["link_key"],
        fence=meta["fence"],
        running=await connection.fetchval(Q.running, VAULT_LOCK),
        stops=tuple(tuple(row) for row in await connection.fetch(Q.stops)),
        counts=dict(counts),
        live=tuple(Payment(**dict(row)) for row in await connection.fetch(Q.live)),
        alarms=tuple(
            Alarm(**dict(row)) for row in await connection.fetch(Q.recent_alarms, ALARMS_SHOWN)
        ),
    )
