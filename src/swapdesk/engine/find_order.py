"""Looking at an order: by its token for partners, by its id for the operator."""

import hmac
import uuid

from swapdesk.db import Row
from swapdesk.engine.desk import Desk
from swapdesk.engine.open_order import token_hash
from swapdesk.engine.view import view_of
from swapdesk.errors import No, Refused
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.order import Order, OrderView


async def find_order(
    desk: Desk, partner_id: uuid.UUID, order_id: uuid.UUID, token: str
) -> OrderView:
    """The order for its partner. Refused NOT_FOUND alike for unknown, foreign and wrong token."""
    async with desk.db.transaction() as tx:
        order = await orders.read(tx, order_id)
        known = order.token_hash if order else bytes(32)
        right = hmac.compare_digest(known, token_hash(token))
        if order is None or order.partner_id != partner_id or not right:
            raise Refused(No.NOT_FOUND)
        return await view_of(desk, tx, order)


async def inspect(
    desk: Desk, order_id: uuid.UUID
) -> tuple[OrderView, list[Row], list[intents.Intent], list[entries.Posting]]:
    """Everything about an order for the operator: view, log, intents and what it is owed."""
    async with desk.db.transaction() as tx:
        order = await orders.read(tx, order_id)
        if order is None:
            raise Refused(No.NOT_FOUND, f"no order {order_id}")
        return (
            await view_of(desk, tx, order),
            await orders.log_of(tx, order_id),
            await intents.of_order(tx, order_id),
            await ledger.balances(tx, entries.order(order_id)),
        )


async def list_orders(desk: Desk, *, held: bool, at_most: int) -> list[Order]:
    """The operator's work list (`held`), or the newest orders."""
    async with desk.db.transaction() as tx:
        return await (orders.held if held else orders.recent)(tx, at_most)
