"""A partner's choice for a held order: go on at the live rate. Refunds are the operator's alone.

The choice is stored here and carried out when the worker next looks at the order (`follow`).
"""

import uuid

from swapdesk.engine.desk import Desk
from swapdesk.engine.find_order import is_theirs
from swapdesk.engine.open_order import token_hash
from swapdesk.errors import No, Refused
from swapdesk.ledger import store as ledger
from swapdesk.orders import store as orders
from swapdesk.orders.classify import PARTNERS_REASONS
from swapdesk.orders.states import State


async def choose_exchange(
    desk: Desk, partner_id: uuid.UUID, order_id: uuid.UUID, token: str
) -> None:
    """Store the choice; a repeat changes nothing.

    Refused NOT_FOUND as in `find_order`; INVALID unless the order is held for a reason that its
    partner may decide, with confirmed money that is still owed.
    """
    async with desk.db.transaction() as tx:
        order = await orders.lock(tx, order_id)
        if order is None or not is_theirs(order, partner_id, token_hash(token)):
            raise Refused(No.NOT_FOUND)
        if order.choice == "EXCHANGE":
            return
        if order.state is not State.HELD or not PARTNERS_REASONS.issuperset(order.hold_reasons):
            raise Refused(No.INVALID, f"an order that is {order.state.value} takes no choice")
        if await ledger.owed(tx, order.id, order.from_asset) == 0:
            raise Refused(No.INVALID, "no confirmed money is there to exchange")
        now = desk.world.now()
        await orders.choose(tx, order.id, "EXCHANGE", now, next_ms=now)
