"""Taking orders out of sight, and erasing what is personal about them.

The row of an order stays for ever with its network, index, assets and numbers: books and deposits
refer to it, and late money must find its owner's token hash.
"""

import uuid
from collections.abc import Sequence

from swapdesk.db import Tx, queries

Q = queries(__package__, "removal.sql")


async def hide(tx: Tx, order_id: uuid.UUID, at_ms: int) -> None:
    """Hide a locked order from partner and customer. A repeat changes nothing."""
    await tx.execute(Q.delete, order_id, at_ms)


async def ripe(
    tx: Tx, ended_before_ms: int, opened_before_ms: int, at_most: int
) -> list[uuid.UUID]:
    """Finished orders whose retention is over, locked, longest finished first."""
    rows = await tx.fetch(Q.ripe, ended_before_ms, opened_before_ms, at_most)
    return [row["id"] for row in rows]


async def purge(tx: Tx, ids: Sequence[uuid.UUID], at_ms: int) -> None:
    """Erase addresses, attestations, payout transactions and idempotency keys of locked orders."""
    await tx.execute(Q.purge_orders, ids, at_ms)
    await tx.execute(Q.purge_intents, ids)
    await tx.execute(Q.purge_keys, ids)
