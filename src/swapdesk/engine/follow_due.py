"""Looking at orders whose time has come: windows that close, money that waits for a price."""

import uuid
from functools import partial
from typing import Final

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.engine.follow import follow
from swapdesk.engine.note_block import market_or_none
from swapdesk.orders import store as orders
from swapdesk.rates.store import Market

#: Orders looked at in one call; each in its own transaction.
PAGE_MAX: Final = 100


async def follow_due(desk: Desk) -> bool:
    """Follow up to PAGE_MAX due orders; True when there may be more."""
    market = await market_or_none(desk)
    async with desk.db.pool.acquire() as connection:
        due = await orders.due(connection, desk.world.now(), PAGE_MAX)
    for order_id in due:
        await desk.db.retrying(partial(_follow, desk, order_id, market))
    return len(due) == PAGE_MAX


async def _follow(desk: Desk, order_id: uuid.UUID, market: Market | None, tx: Tx) -> None:
    order = await orders.lock(tx, order_id)
    if order is not None and order.next_ms is not None and order.next_ms <= desk.world.now():
        await follow(desk, tx, order, market)
