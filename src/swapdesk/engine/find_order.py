"""Looking at an order: by its token for partners, by its id for the operator."""

import hmac
import uuid
from collections.abc import Sequence

import msgspec

from swapdesk.db import Row, Tx
from swapdesk.engine.admit import admit_all
from swapdesk.engine.desk import Desk
from swapdesk.engine.open_order import token_hash
from swapdesk.engine.view import view_of, views_of
from swapdesk.errors import No, Refused
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.order import Order, OrderView
from swapdesk.partners.partner import Caller


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One row of a batch: who looks for which order, with which token."""

    caller: Caller | None
    partner_id: uuid.UUID
    order_id: uuid.UUID
    token_hash: bytes


async def find_order(
    desk: Desk,
    partner_id: uuid.UUID,
    order_id: uuid.UUID,
    token: str,
    caller: Caller | None = None,
) -> OrderView:
    """The order for its partner. Refused NOT_FOUND alike for unknown, foreign and wrong token.

    `caller` is admitted on the way (what `admit` raises); None: he was already, or there is none.
    """
    row = Finding(caller, partner_id, order_id, token_hash(token))
    return await desk.gather(find_orders, atomic=False).ask(row)


async def find_orders(desk: Desk, tx: Tx, rows: Sequence[Finding]) -> list[OrderView | Exception]:
    """One answer per row, in order."""
    verdicts = await admit_all(desk, tx, [row.caller for row in rows])
    inside = {row.order_id for row, no in zip(rows, verdicts, strict=True) if no is None}
    views = await views_of(desk, tx, inside)
    return [
        no or _if_theirs(views.get(row.order_id), row)
        for row, no in zip(rows, verdicts, strict=True)
    ]


def _if_theirs(view: OrderView | None, row: Finding) -> OrderView | Refused:
    mine = is_theirs(view.order if view else None, row.partner_id, row.token_hash)
    return view if view and mine else Refused(No.NOT_FOUND)


def is_theirs(order: Order | None, partner_id: uuid.UUID, token_hash: bytes) -> bool:
    """True when a partner who shows this token may see the order; in constant time."""
    known = order.token_hash if order else bytes(32)
    right = hmac.compare_digest(known, token_hash)
    return order is not None and order.partner_id == partner_id and right and not order.hidden


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
