"""What arrived, one row per output, and how far each chain has been read."""

import uuid
from collections.abc import Collection, Sequence

import asyncpg
import msgspec

from swapdesk.chains.reader import BlockRef, Transfer
from swapdesk.db import Tx, queries
from swapdesk.orders.classify import Arrival

Q = queries(__package__, "store.sql")


class Deposit(msgspec.Struct, frozen=True):
    """One output to one of our addresses. Its identity never mentions a block."""

    network: str
    txid: str
    position: str
    order_id: uuid.UUID
    asset: str
    address: str
    units: int
    first_seen_ms: int
    block_hash: str | None
    block_height: int | None
    gone: bool
    final_ms: int | None
    credit_rev: int

    @property
    def arrival(self) -> Arrival:
        """As `classify` counts it."""
        return Arrival(self.units, self.final_ms is not None, self.gone, self.first_seen_ms)


class Cursor(msgspec.Struct, frozen=True):
    """The last block fully processed, and when the watcher last stood at the tip."""

    height: int
    hash: str
    tip_height: int
    synced_ms: int


async def owners(tx: Tx, family: str, addresses: Sequence[str]) -> dict[str, uuid.UUID]:
    """Which of `addresses` are ours: address -> order id."""
    rows = await tx.fetch(Q.owners, family, list(addresses))
    return {row["address"]: row["order_id"] for row in rows}


async def see(
    tx: Tx,
    network: str,
    transfer: Transfer,
    order_id: uuid.UUID,
    seen_ms: int,
    ref: BlockRef | None,
) -> bool:
    """Record a transfer to one of our addresses; True if that changed anything.

    `ref` is its block, None while it waits in the mempool. The first sighting keeps its time.
    """
    row = await tx.fetchrow(
        Q.see, network, transfer.txid, transfer.position, order_id, transfer.asset,
        transfer.address, transfer.units, seen_ms, ref.hash if ref else None,
        ref.height if ref else None,
    )  # fmt: skip
    return row is not None


async def above(tx: Tx, network: str, height: int) -> list[Deposit]:
    """Deposits in blocks at `height` and above, locked."""
    return [_of(row) for row in await tx.fetch(Q.above, network, height)]


async def unblock(tx: Tx, deposit: Deposit) -> None:
    """Its block left the chain: it counts as waiting, until the mempool is looked at."""
    await tx.execute(Q.unblock, deposit.network, deposit.txid, deposit.position)


async def waiting(tx: Tx, network: str) -> list[Deposit]:
    """Deposits believed to wait in the mempool."""
    return [_of(row) for row in await tx.fetch(Q.waiting, network)]


async def gone(tx: Tx, deposit: Deposit) -> bool:
    """It is neither in a block nor in the mempool any more."""
    return (await tx.fetchval(Q.gone, deposit.network, deposit.txid, deposit.position)) is not None


async def ripe(tx: Tx, network: str, asset: str, height: int) -> list[Deposit]:
    """Deposits of `asset` in blocks up to `height` that are not final yet, locked."""
    return [_of(row) for row in await tx.fetch(Q.ripe, network, asset, height)]


async def finalise(tx: Tx, deposit: Deposit, at_ms: int) -> int | None:
    """Mark it final; the number of this credit for the books' key. None: it was final already."""
    rev: int | None = await tx.fetchval(
        Q.finalise, deposit.network, deposit.txid, deposit.position, at_ms
    )
    return rev


async def of_order(tx: Tx, order_id: uuid.UUID) -> list[Deposit]:
    """Everything that ever arrived for an order, first seen first."""
    return [_of(row) for row in await tx.fetch(Q.of_order, order_id)]


async def of_orders(tx: Tx, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Deposit]]:
    """Everything that ever arrived for these orders, first seen first."""
    found: dict[uuid.UUID, list[Deposit]] = {}
    for row in await tx.fetch(Q.of_orders, ids):
        found.setdefault(row["order_id"], []).append(_of(row))
    return found


async def cursor(tx: Tx, network: str, *, lock: bool = False) -> Cursor | None:
    """How far `network` was read; None before the first block. `lock`: until the end of `tx`."""
    row = await tx.fetchrow(Q.lock_cursor if lock else Q.cursor, network)
    return Cursor(**dict(row)) if row else None


async def set_cursor(tx: Tx, network: str, cursor: Cursor) -> None:
    """Store how far `network` was read."""
    await tx.execute(
        Q.set_cursor, network, cursor.height, cursor.hash, cursor.tip_height, cursor.synced_ms
    )


async def synced(tx: Tx) -> dict[str, int]:
    """Network -> when its watcher last stood at the tip, in milliseconds."""
    return {row["network"]: row["synced_ms"] for row in await tx.fetch(Q.cursors)}


async def keep_block(tx: Tx, network: str, ref: BlockRef, keep: int) -> None:
    """Remember a processed block for reorganisations; forget all but the newest `keep`."""
    await tx.execute(Q.keep_block, network, ref.height, ref.hash)
    await tx.execute(Q.drop_blocks, network, ref.height, ref.height - keep)


async def known_blocks(tx: Tx, network: str, at_most: int) -> list[tuple[int, str]]:
    """The newest processed blocks, highest first: (height, hash)."""
    rows = await tx.fetch(Q.known_blocks, network, at_most)
    return [(row["height"], row["hash"]) for row in rows]


def _of(row: asyncpg.Record) -> Deposit:
    return Deposit(**dict(row))
