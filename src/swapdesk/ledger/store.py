"""The books in PostgreSQL: append only; balances are kept by a trigger and checked at commit."""

import uuid

from swapdesk.db import Tx, queries
from swapdesk.ledger.entries import Entry, Posting, order
from swapdesk.world import World

Q = queries(__package__, "store.sql")


async def post(tx: Tx, world: World, entry: Entry) -> bool:
    """Write an entry; False when this fact is in the books already.

    asyncpg.CheckViolationError at commit if it did not balance, or at once if an order would
    come to owe us.
    """
    if not entry.postings:
        return False
    entry_id = await tx.fetchval(
        Q.insert_entry, world.uuid(), entry.key, entry.kind, entry.order_id, world.now()
    )
    if entry_id is None:
        return False
    # Lock order of the balances: the same for every transaction, or two of them deadlock.
    lines = sorted(entry.postings, key=lambda p: (p.account, p.asset))
    await tx.execute(
        Q.insert_postings, entry_id, [p.account for p in lines], [p.asset for p in lines],
        [p.units for p in lines],
    )  # fmt: skip
    return True


async def owed(tx: Tx, order_id: uuid.UUID, asset: str) -> int:
    """What we owe for an order in `asset`, in minor units, zero or more."""
    balance = await tx.fetchval(Q.balance, order(order_id), asset)
    return -(balance or 0)


async def balances(tx: Tx, prefix: str) -> list[Posting]:
    """Non-zero balances of the accounts that begin with `prefix`."""
    rows = await tx.fetch(Q.balances, prefix + "%")
    return [Posting(row["account"], row["asset"], row["units"]) for row in rows]


async def posted(tx: Tx, key: str, account: str) -> int:
    """Units that the fact `key` posted to `account`; 0 when it did not."""
    return await tx.fetchval(Q.posted, key, account) or 0


async def last_exchange(tx: Tx, order_id: uuid.UUID) -> Entry | None:
    """The newest exchange entry of an order that was not undone since."""
    made = await tx.fetchrow(Q.newest_of_kind, order_id, "exchanged")
    undone = await tx.fetchrow(Q.newest_of_kind, order_id, "unexchanged")
    if made is None or (undone and undone["key"].split("/")[-1] == made["key"].split("/")[-1]):
        return None
    rows = await tx.fetch(Q.postings_of, made["id"])
    postings = tuple(Posting(row["account"], row["asset"], row["units"]) for row in rows)
    return Entry(made["key"], "exchanged", order_id, postings)


async def trial_balance(tx: Tx) -> list[Posting]:
    """Every account with its balance, orders and partners summed up. Adds up to nothing."""
    rows = await tx.fetch(Q.trial_balance)
    return [Posting(row["name"], row["asset"], row["units"]) for row in rows]
