"""What partners earn: booked when an order is exchanged, payable when it is done, paid by hand.

Paying happens outside the desk; `pay_earnings` says that it was done. Nobody's coins move here.
"""

import uuid
from typing import Final

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.money import BPS, floor_div
from swapdesk.orders import store as orders
from swapdesk.orders.order import Order
from swapdesk.partners import earnings
from swapdesk.partners.earnings import Earned, Earning, Payment, Standing
from swapdesk.pricing import Quote
from swapdesk.webhooks import outbox
from swapdesk.webhooks.events import Cleared, PaidOut

REFERENCE_CHARS_MAX: Final = 200


async def book_earnings(desk: Desk, tx: Tx, order: Order, quote: Quote) -> int:
    """Book what the exchange of a locked order earns its partner; his share of the base fee.

    In minor units of the destination asset, for the entry that the caller posts.
    """
    share = earnings.share_of_fee(quote.base_fee_units, await earnings.share_bps(tx, order.id))
    units = quote.markup_units + share
    earned = Earned(
        asset=quote.dst.code,
        markup_units=quote.markup_units,
        share_units=share,
        usd=floor_div(quote.to_usd * units, quote.to_units),
        volume_usd=quote.from_usd,
    )
    await earnings.book(tx, order.id, order.partner_id, earned, desk.world.now())
    return share


async def order_earnings(desk: Desk, order_id: uuid.UUID) -> Earning:
    """What an order earned its partner, or, before its exchange, what it would at its own price.

    Refused NOT_FOUND.
    """
    async with desk.db.transaction() as tx:
        order = await orders.read(tx, order_id)
        if order is None:
            raise Refused(No.NOT_FOUND, f"no order {order_id}")
        booked = await earnings.of_order(tx, order_id)
        if booked is not None:
            return booked
        share_bps = await earnings.share_bps(tx, order_id)
    gross = order.rate.pays(order.from_units)
    expected = earnings.shares(gross, order.base_fee_bps, order.markup_bps, share_bps)
    return Earning(order.to_asset, *expected, usd=None, payable_ms=None, payment_id=None)


async def pay_earnings(desk: Desk, partner: str, reference: str) -> tuple[Payment, bool]:
    """Say that everything payable of a partner (name or id) was paid; the payment, and if it is new.

    The same reference again changes nothing. The books move from the partner's account to
    desk/paid_out, asset by asset, and the partner is told. Refused NOT_FOUND; INVALID for an
    unusable reference or when nothing is payable.
    """
    if not (0 < len(reference) <= REFERENCE_CHARS_MAX and reference.isprintable()):
        raise Refused(No.INVALID, f"a reference has 1 to {REFERENCE_CHARS_MAX} characters")

    async def work(tx: Tx) -> tuple[Payment, bool]:
        partner_id = await _locked(tx, partner)
        known = await earnings.find_payment(tx, partner_id, reference)
        if known is not None:
            return known, False
        last = next(iter(await earnings.payments(tx, partner_id, 1)), None)
        payment_id = desk.world.uuid()
        taken = await earnings.take_unpaid(tx, partner_id, payment_id)
        amounts = {each.asset: each.units for each in taken}
        if not any(amounts.values()):
            raise Refused(No.INVALID, "nothing is payable")
        now = max(desk.world.now(), last.paid_ms + 1 if last else 0)
        since = min(now, last.to_ms if last else min(each.first_ms for each in taken))
        made = Payment(payment_id, reference, now, since, now, sum(each.usd for each in taken))
        await earnings.keep_payment(tx, partner_id, made)
        await ledger.post(tx, desk.world, entries.earnings_paid(payment_id, partner_id, amounts))
        await outbox.tell_paid_out(
            tx, desk.world, partner_id,
            PaidOut(made.paid_ms, made.from_ms, made.to_ms, made.usd, reference),
        )  # fmt: skip
        return made, True

    return await desk.db.retrying(work)


async def clear_earnings(desk: Desk, partner: str) -> Cleared:
    """Close a partner's accounting cycle and tell him; the next one starts at nothing.

    A cycle only counts: what is payable stays payable. Refused NOT_FOUND, or INVALID when no order
    was done in this cycle.
    """

    async def work(tx: Tx) -> Cleared:
        partner_id, cycle_id = await _locked(tx, partner), desk.world.uuid()
        done, usd = await earnings.take_uncleared(tx, partner_id, cycle_id)
        if not done:
            raise Refused(No.INVALID, "no order was done since the last time")
        last = await earnings.last_cleared(tx, partner_id)
        cleared = Cleared(max(desk.world.now(), 0 if last is None else last + 1), usd)
        await earnings.keep_cycle(tx, cycle_id, partner_id, cleared.cleared_ms, usd)
        await outbox.tell_cleared(tx, desk.world, partner_id, cleared)
        return cleared

    return await desk.db.retrying(work)


async def set_fee_share(desk: Desk, partner: str, share_bps: int) -> None:
    """Give a partner a part of the base fee of orders opened from now on, in basis points of it.

    Refused NOT_FOUND, INVALID.
    """
    if not 0 <= share_bps <= BPS:
        raise Refused(No.INVALID, f"a share is 0 to {BPS} basis points of the base fee")
    async with desk.db.transaction() as tx:
        await earnings.set_share(tx, await _locked(tx, partner), share_bps)


async def list_earnings(desk: Desk) -> list[Standing]:
    """How every partner stands, oldest first."""
    async with desk.db.transaction() as tx:
        return await earnings.standings(tx)


async def list_payments(desk: Desk, partner: str) -> list[Payment]:
    """What a partner (name or id) was paid, newest first. Refused NOT_FOUND."""
    async with desk.db.transaction() as tx:
        return await earnings.payments(tx, await _locked(tx, partner))


async def _locked(tx: Tx, partner: str) -> uuid.UUID:
    partner_id = await earnings.lock_partner(tx, partner)
    if partner_id is None:
        raise Refused(No.NOT_FOUND, f"there is no partner {partner!r}")
    return partner_id
