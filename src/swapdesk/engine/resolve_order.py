"""Deciding a held order: go on at the live rate, or send the money back."""

import uuid
from typing import Literal

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.engine.follow import exchange, live_quote, moved
from swapdesk.errors import No, Refused
from swapdesk.ledger import store as ledger
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.order import Order
from swapdesk.orders.states import Cause, next_state
from swapdesk.orders.store import Move
from swapdesk.pricing import refund_units
from swapdesk.rates.store import Market

Choice = Literal["exchange", "refund"]


async def resolve_order(
    desk: Desk, order_id: uuid.UUID, choice: Choice, *, by: str, note: str
) -> Order:
    """Carry out `choice` for an order that waits for one; the order after it.

    Refused: NOT_FOUND; BAD_CHOICE when the order's state does not take it or no money is there;
    CONFLICT while an earlier intent lives; UNAVAILABLE without rates; INVALID when nothing would
    be left after the network fee.
    """
    market = await desk.market()

    async def work(tx: Tx) -> Order:
        order = await orders.lock(tx, order_id)
        if order is None:
            raise Refused(No.NOT_FOUND, f"no order {order_id}")
        cause = Cause.CHOSE_EXCHANGE if choice == "exchange" else Cause.CHOSE_REFUND
        if next_state(order.state, cause) is None:
            raise Refused(No.BAD_CHOICE, f"an order that is {order.state.value} takes no {choice}")
        if await intents.live(tx, order_id):
            raise Refused(No.CONFLICT, "the vault is still working on an earlier intent")
        what = Move(choice=choice.upper(), by=by, note=note)
        if cause is Cause.CHOSE_EXCHANGE:
            return await _exchange(desk, tx, order, market, what)
        return await _refund(desk, tx, order, market, what)

    return await desk.db.retrying(work)


async def _exchange(desk: Desk, tx: Tx, order: Order, market: Market, what: Move) -> Order:
    if order.destination is None:
        raise Refused(No.BAD_CHOICE, "the order was purged: nobody knows where to pay")
    quote = await live_quote(desk, tx, order, market)
    if quote is None:
        raise Refused(No.BAD_CHOICE, "no confirmed money is there to exchange")
    if quote.to_units <= quote.dst.dust_units:
        raise Refused(No.INVALID, "nothing worth paying is left after fees")
    return await exchange(desk, tx, order, quote, market, Cause.CHOSE_EXCHANGE, what)


async def _refund(desk: Desk, tx: Tx, order: Order, market: Market, what: Move) -> Order:
    asset = desk.registry.assets[order.from_asset]
    owed = await ledger.owed(tx, order.id, asset.code)
    if owed == 0 or order.refund_address is None:
        raise Refused(No.BAD_CHOICE, "no confirmed money is there, or no address to send it to")
    units = refund_units(owed, asset, desk.book(market), desk.fees(asset.network))
    wish = intents.Wish("refund", asset.code, units, order.refund_address, owed)
    await intents.ask(tx, order.id, wish, desk.world.now())
    return await moved(desk, tx, order, Cause.CHOSE_REFUND, what)
