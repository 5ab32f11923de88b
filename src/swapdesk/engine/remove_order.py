"""Removing orders: hidden at once when somebody asks, purged by the worker when their time is over.

Nothing that was counted is counted less: the row and the postings of an order stay.
"""

import uuid
from typing import Final

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.orders import removal
from swapdesk.orders import store as orders
from swapdesk.orders.states import FINISHED
from swapdesk.webhooks import outbox

#: Orders purged in one transaction, and such transactions in one call.
CHUNK: Final = 100
CHUNKS_MAX: Final = 100
#: An idempotency key answers for a day (contract D32), so no order is purged younger than that.
KEY_MS: Final = 86_400_000


async def delete_order(desk: Desk, order_id: uuid.UUID) -> None:
    """Hide a finished order from its partner and customer; what was not delivered never is.

    Refused NOT_FOUND, INVALID while the order is not finished. A repeat changes nothing. What is
    personal goes when the retention is over, as for every order.
    """

    async def work(tx: Tx) -> None:
        order = await orders.lock(tx, order_id)
        if order is None:
            raise Refused(No.NOT_FOUND, f"no order {order_id}")
        if order.state not in FINISHED:
            raise Refused(No.INVALID, f"an order that is {order.state.value} cannot be deleted")
        await removal.hide(tx, order_id, desk.world.now())
        await outbox.forget_order(tx, order_id)

    await desk.db.retrying(work)


async def purge_orders(desk: Desk) -> int:
    """Erase what is personal about orders that ended `terms.retention_ms` ago; how many.

    Left for later: orders that the vault has not bound, that are owed money, or have some on its
    way. Money that comes after the purge is held without an address.
    """
    if desk.terms.retention_ms is None:
        return 0
    purged = 0
    for _ in range(CHUNKS_MAX):
        count = await desk.db.retrying(lambda tx: _purge_some(desk, tx))
        purged += count
        if count < CHUNK:
            break
    return purged


async def _purge_some(desk: Desk, tx: Tx) -> int:
    now = desk.world.now()
    assert desk.terms.retention_ms is not None
    ids = await removal.ripe(tx, now - desk.terms.retention_ms, now - KEY_MS, CHUNK)
    if ids:
        await removal.purge(tx, ids, now)
        for order_id in ids:
            await outbox.forget_order(tx, order_id)
    return len(ids)
