"""Counting for the operator's dashboards."""

from collections.abc import Mapping

import msgspec

from swapdesk.db import queries
from swapdesk.engine.desk import Desk
from swapdesk.orders.states import State

Q = queries(__package__, "figures.sql")


class Figures(msgspec.Struct, frozen=True):
    """What stands in the database now."""

    orders: Mapping[State, int]  #: every state, also those without orders
    webhooks_waiting: int
    webhooks_dead: int


async def figures(desk: Desk) -> Figures:
    """Count orders by state, and webhooks that nobody has taken."""
    async with desk.db.transaction() as tx:
        rows = await tx.fetch(Q.orders_by_state)
        webhooks = await tx.fetchrow(Q.webhooks_waiting)
    assert webhooks is not None, "an aggregate has one row"
    orders = dict.fromkeys(State, 0) | {State(row["state"]): row["orders"] for row in rows}
    return Figures(orders, webhooks["waiting"], webhooks["dead"])
