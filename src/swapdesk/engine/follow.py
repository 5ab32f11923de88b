"""What the facts of an order lead to. Every use case that learns something ends here.

Called with the order locked. Facts are gathered afresh, classified, and the cause moves the order
together with its ledger entry, its payout intent and its webhook: all or nothing.
"""

import msgspec

from swapdesk.db import Tx
from swapdesk.deposits import store as deposits
from swapdesk.engine.desk import Desk
from swapdesk.engine.earnings import book_earnings
from swapdesk.engine.view import counts, view_of
from swapdesk.errors import Refused
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.classify import Facts, classify, gather, hold_reasons
from swapdesk.orders.order import Order
from swapdesk.orders.states import Cause, State
from swapdesk.orders.store import Move
from swapdesk.pricing import Ask, Fees, Quote, price
from swapdesk.rates.store import Market
from swapdesk.webhooks import outbox


async def follow(desk: Desk, tx: Tx, order: Order, market: Market | None) -> Order:
    """Let a locked order follow its facts. Repeats and reordering are harmless.

    `market` prices money that may be exchanged; without a trustworthy rate the order waits and is
    looked at again after `terms.reprice_ms`.
    """
    if order.state is State.HELD and order.choice == "EXCHANGE":
        return await _carry_out(desk, tx, order, market)
    facts = await facts_of(desk, tx, order)
    cause = classify(order.state, facts)
    if cause is Cause.DEPOSIT_GOOD:
        return await _exchange_or_wait(desk, tx, order, market)
    if cause is None:
        if order.next_ms is not None and order.next_ms <= desk.world.now():
            soon = desk.world.now() + desk.terms.reprice_ms
            await orders.look_again(tx, order.id, soon if order.state is State.WAITING else None)
        return order
    reasons = hold_reasons(order.state, facts) if cause is Cause.DEPOSIT_ODD else ()
    window = order.window_ends_ms if cause is Cause.DEPOSIT_LOST else None
    return await moved(desk, tx, order, cause, Move(hold_reasons=reasons, next_ms=window))


async def facts_of(desk: Desk, tx: Tx, order: Order) -> Facts:
    """The full picture of an order, as the database has it now."""
    asset = desk.registry.assets[order.from_asset]
    cursor = await deposits.cursor(tx, order.network)
    return gather(
        (d.arrival for d in await deposits.of_order(tx, order.id) if counts(d, asset)),
        dust_units=asset.dust_units,
        min_units=order.min_units,
        max_units=order.max_units,
        window_ends_ms=order.window_ends_ms,
        synced_ms=cursor.synced_ms if cursor else 0,
    )


async def _exchange_or_wait(desk: Desk, tx: Tx, order: Order, market: Market | None) -> Order:
    try:
        quote = await live_quote(desk, tx, order, market)
    except Refused:
        quote = None
    if quote is None:  # no trustworthy rate: the money is here, so at least say that it was seen
        again = desk.world.now() + desk.terms.reprice_ms
        if order.state is State.WAITING:
            return await moved(desk, tx, order, Cause.DEPOSIT_SEEN, Move(next_ms=again))
        await orders.look_again(tx, order.id, again)
        return order
    if quote.to_units <= quote.dst.dust_units:
        return await moved(desk, tx, order, Cause.DEPOSIT_ODD, Move(hold_reasons=("LIMIT",)))
    assert market is not None
    return await exchange(desk, tx, order, quote, market, Cause.DEPOSIT_GOOD, Move())


async def _carry_out(desk: Desk, tx: Tx, order: Order, market: Market | None) -> Order:
    """What a partner chose for a held order, at the rate of this moment; without one, later.

    When too little is left to pay, the order is undecided again and waits for the operator.
    """
    now = desk.world.now()
    try:
        quote = await live_quote(desk, tx, order, market)
    except Refused:
        quote = None
    if quote is None:
        await orders.look_again(tx, order.id, now + desk.terms.reprice_ms)
        return order
    if quote.to_units <= quote.dst.dust_units:
        await orders.choose(tx, order.id, "NONE", now, next_ms=None)
        return order
    assert market is not None
    return await exchange(desk, tx, order, quote, market, Cause.CHOSE_EXCHANGE, Move(by="partner"))


async def live_quote(desk: Desk, tx: Tx, order: Order, market: Market | None) -> Quote | None:
    """What all the money owed for an order buys now. None without rates; Refused UNAVAILABLE."""
    if market is None:
        return None
    src, dst = desk.registry.assets[order.from_asset], desk.registry.assets[order.to_asset]
    units = await ledger.owed(tx, order.id, order.from_asset)
    if units == 0:
        return None
    fees = Fees(order.base_fee_bps, desk.fees(dst.network).network_usd)
    return price(Ask(src, dst, "from", units, order.markup_bps), desk.book(market), fees)


async def exchange(
    desk: Desk, tx: Tx, order: Order, quote: Quote, market: Market, cause: Cause, what: Move
) -> Order:
    """Turn what is owed into the other asset at `quote`, and ask the vault to pay it."""
    order = msgspec.structs.replace(
        order,
        from_units=quote.from_units,
        to_units=quote.to_units,
        rate=quote.rate,
        snapshot_id=market.id,
        network_fee_units=quote.network_fee_units,
    )
    assert order.destination is not None, "a purged order is never exchanged"
    await orders.reprice(tx, order)
    terms = entries.Exchange(
        src=order.from_asset,
        dst=order.to_asset,
        from_units=quote.from_units,
        gross_units=quote.gross_units,
        base_fee_units=quote.base_fee_units,
        markup_units=quote.markup_units,
        network_fee_units=quote.network_fee_units,
        to_units=quote.to_units,
        share_units=await book_earnings(desk, tx, order, quote),
    )
    entry = entries.exchanged(order.id, order.rev + 1, order.partner_id, terms)
    await ledger.post(tx, desk.world, entry)
    wish = intents.Wish(
        "payout", order.to_asset, quote.to_units, order.destination, quote.from_units
    )
    await intents.ask(tx, order.id, wish, desk.world.now())
    return await moved(desk, tx, order, cause, what)


async def moved(desk: Desk, tx: Tx, order: Order, cause: Cause, what: Move) -> Order:
    """Move a locked order and tell its partner, if the wire has a new word for it.

    Asserts that the cause applies: callers look the move up through `classify` or check it.
    """
    after = await orders.move(tx, order, cause, desk.world.now(), what)
    assert after is not None, f"{cause} does not apply in {order.state}"
    if after.shown != order.shown and not after.hidden:
        await outbox.tell(tx, desk.world, desk.registry, await view_of(desk, tx, after))
    return after
