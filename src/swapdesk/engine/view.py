"""An order with everything a dialect may tell of it."""

import uuid
from collections.abc import Collection, Sequence

from swapdesk.assets import Asset
from swapdesk.db import Tx
from swapdesk.deposits import store as deposits
from swapdesk.engine.desk import Desk
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.order import Order, OrderView


async def view_of(desk: Desk, tx: Tx, order: Order) -> OrderView:
    """The view of `order` as `tx` sees it."""
    arrived = await deposits.of_order(tx, order.id)
    return _view(desk, order, arrived, await intents.of_order(tx, order.id))


async def views_of(desk: Desk, tx: Tx, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, OrderView]:
    """The views of these orders in at most three statements; unknown ids are left out."""
    found = await orders.read_all(tx, ids) if ids else {}
    paid_in = [key for key, standing in found.items() if standing.has_deposits]
    asked = [key for key, standing in found.items() if standing.has_intents]
    arrived = await deposits.of_orders(tx, paid_in) if paid_in else {}
    attempts = await intents.of_orders(tx, asked) if asked else {}
    return {
        key: _view(desk, standing.order, arrived.get(key, ()), attempts.get(key, ()))
        for key, standing in found.items()
    }


def new_view(desk: Desk, order: Order) -> OrderView:
    """The view of an order that has just been opened."""
    return _view(desk, order, (), ())


def _view(
    desk: Desk,
    order: Order,
    deposited: Sequence[deposits.Deposit],
    attempts: Sequence[intents.Intent],
) -> OrderView:
    asset = desk.registry.assets[order.from_asset]
    arrived = [deposit for deposit in deposited if counts(deposit, asset)]
    paid = next((i for i in reversed(attempts) if i.kind == "payout" and i.txid), None)
    back = next((i for i in reversed(attempts) if i.kind == "refund" and i.txid), None)
    largest = max(arrived, key=lambda d: d.units, default=None)
    return OrderView(
        order=order,
        now_ms=desk.world.now(),
        deposit_txid=largest.txid if largest else None,
        deposit_units=sum(d.units for d in arrived) if largest else None,
        payout_txid=paid.txid if paid else None,
        payout_units=paid.units if paid else None,
        refund_txid=back.txid if back else None,
        refund_units=back.units if back else None,
    )


def counts(deposit: deposits.Deposit, asset: Asset) -> bool:
    """True for a deposit of the order's own asset that is here and above dust."""
    return deposit.asset == asset.code and not deposit.gone and deposit.units >= asset.dust_units
