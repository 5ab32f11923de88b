"""An order with everything a dialect may tell of it."""

from swapdesk.assets import Asset
from swapdesk.db import Tx
from swapdesk.deposits import store as deposits
from swapdesk.engine.desk import Desk
from swapdesk.orders import intents
from swapdesk.orders.order import Order, OrderView


async def view_of(desk: Desk, tx: Tx, order: Order) -> OrderView:
    """The view of `order` as `tx` sees it."""
    asset = desk.registry.assets[order.from_asset]
    arrived = [d for d in await deposits.of_order(tx, order.id) if counts(d, asset)]
    attempts = await intents.of_order(tx, order.id)
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
