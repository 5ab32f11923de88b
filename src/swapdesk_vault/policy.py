"""What the vault pays, what it holds back, what it refuses. Pure: the whole case in, one word out.

The desk may be in anybody's hands. So a payment needs a binding that was stored before, a deposit
that the vault's own node confirms, and amounts that make sense by the vault's own rates. Doubt
means hold, never pay; a refusal is possible only because nothing is signed yet.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from swapdesk.handoff import Binding
from swapdesk.money import BPS, USD_SCALE, floor_div, units_of_usd, usd_of
from swapdesk.rates.book import Price
from swapdesk_vault.payment import Payment, Spending, Worth


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may leave at most. Dollars are whole; the table [policy] of the site file."""

    order_usd: int = 20_000
    hour_usd: int = 50_000
    day_usd: int = 200_000
    hour_payments: int = 500
    asset_day_usd: Mapping[str, int] = {}  #: asset code -> cap of its own
    value_tolerance_bps: int = 100  #: paid over received, by the vault's own rates
    loss_hour_usd: int = 500  #: sum of (paid - received)
    loss_day_usd: int = 2_000
    late_bind_cap_usd: int = 1_000  #: an order bound after its deposit was in a block
    late_bind_hourly_usd: int = 3_000
    fee_usd: int = 50  #: network fee of one payment
    fee_bps: int = 1_000  #: the same relative to the payment; both caps hold
    verify_patience_ms: int = 3_600_000  #: after that, an unverified deposit is a refusal

    def __post_init__(self) -> None:
        numbers = [v for v in msgspec.structs.astuple(self) if isinstance(v, int)]
        if min(*numbers, *self.asset_day_usd.values()) < 0:
            raise ValueError("limits are not negative")
        if self.fee_bps > BPS:
            raise ValueError("a fee above the payment itself is no limit")


class Evidence(msgspec.Struct, frozen=True):
    """What the vault's own node says about the deposits of one order, right now."""

    confirmed_units: int = 0  #: at the bound address, of the bound asset, at final depth
    first_block_ms: int | None = None  #: time of the earliest block that holds one of them
    missing: str | None = None  #: what could not be verified, in words


class Case(msgspec.Struct, frozen=True):
    """Everything that counts for one payment."""

    now_ms: int
    payment: Payment
    binding: Binding | None
    bound_ms: int  #: when the vault stored the binding
    forbidden: str | None  #: what the destination is, if nobody may be paid there
    evidence: Evidence
    answered_units: int  #: what other live or final payments of this order answer for
    answered_kinds: frozenset[str]
    spending: Spending
    paid: tuple[Price, int] | None  #: price and decimals of the asset that leaves; None: stale
    received: tuple[Price, int] | None  #: the same of the asset that came in


class Pay(msgspec.Struct, frozen=True):
    """Sign it."""

    worth: Worth


class Hold(msgspec.Struct, frozen=True):
    """Not now. `doubt`: because its deposit is not verified."""

    reason: str
    doubt: bool = False


class Refuse(msgspec.Struct, frozen=True):
    """Never."""

    reason: str


Decision: TypeAlias = Pay | Hold | Refuse

#: Chains cut block times to whole seconds: a block of 12:00:00 may be as young as 12:00:00.999.
BLOCK_TIME_GRAIN_MS: Final = 1_000

STALE: Final = "own rates are stale"


def decide(case: Case, limits: Limits) -> Decision:
    """The one decision. Checks run from what can never become right to what time may heal."""
    return (
        _promise(case)
        or _duplicate(case)
        or _operator(case)
        or _deposit(case, limits)
        or _value(case, limits)
    )


def _promise(case: Case) -> Decision | None:
    """The payment is what this order was bound to."""
    payment, binding = case.payment, case.binding
    if binding is None:
        return Refuse("the order was never bound")
    broken: tuple[tuple[bool, str], ...]
    if payment.kind == "payout":
        broken = (
            (payment.asset != binding.to_asset, "the order is bound to another asset"),
            (payment.destination != binding.destination, "the order is bound to somebody else"),
        )
    else:
        refund = binding.refund_address
        broken = (
            (payment.asset != binding.from_asset, "a refund is in the asset that came in"),
            (refund is None, "the order is bound to no refund address"),
            (payment.destination != refund, "the order is bound to another refund address"),
            (payment.units > payment.covers_units, "a refund above what it answers for"),
        )
    for wrong, reason in (
        *broken,
        (case.forbidden is not None, f"the destination is {case.forbidden}"),
    ):
        if wrong:
            return Refuse(reason)
    return None


def _duplicate(case: Case) -> Decision | None:
    """One payout per order, and none beside a refund. Late money may be refunded."""
    if case.payment.kind == "payout" and case.answered_kinds:
        return Refuse(f"the order already has a {min(case.answered_kinds)}")
    return None


def _operator(case: Case) -> Decision | None:
    if case.payment.verdict == "refuse":
        return Refuse("the operator of the vault refused it")
    return None


def _deposit(case: Case, limits: Limits) -> Decision | None:
    """All payments of an address together never exceed what is confirmed at it now."""
    due = case.answered_units + case.payment.covers_units
    confirmed = case.evidence.confirmed_units
    if due <= confirmed:
        return None
    since = case.payment.doubt_ms
    reason = case.evidence.missing or f"{confirmed} units are confirmed, {due} answered for"
    if since is not None and case.now_ms - since >= limits.verify_patience_ms:
        return Refuse(f"the deposit was never verified: {reason}")
    return Hold(f"the deposit is not verified: {reason}", doubt=True)


def _value(case: Case, limits: Limits) -> Decision:
    """Bounds in dollars, by the vault's own rates: what leaves at its ask, what came at its bid.

    A refund leaves and came at one price: it cannot lose.
    """
    if case.paid is None or case.received is None:
        return Hold(STALE)
    (price, decimals), (from_price, from_decimals) = case.paid, case.received
    payout = case.payment.kind == "payout"
    first_ms = case.evidence.first_block_ms
    late = first_ms is None or case.bound_ms >= first_ms + BLOCK_TIME_GRAIN_MS
    worth = Worth(
        paid_usd=usd_of(case.payment.units, decimals, price.ask if payout else price.bid),
        received_usd=usd_of(case.payment.covers_units, from_decimals, from_price.bid),
        late=late,
    )
    if worth.paid_usd * BPS > worth.received_usd * (BPS + limits.value_tolerance_bps):
        return Hold("it pays more than was received, by own rates")
    loss = worth.paid_usd - worth.received_usd
    spent = case.spending
    if loss > 0:
        if spent.hour_loss_usd + loss > limits.loss_hour_usd * USD_SCALE:
            return Hold("the loss budget of the hour is used up")
        if spent.day_loss_usd + loss > limits.loss_day_usd * USD_SCALE:
            return Hold("the loss budget of the day is used up")
    if case.payment.verdict == "approve":
        return Pay(worth)
    return _caps(case, worth, limits) or Pay(worth)


def _caps(case: Case, worth: Worth, limits: Limits) -> Hold | None:
    """Amounts and speed. The operator of the vault may lift these for one payment."""
    spent, usd = case.spending, worth.paid_usd
    asset_cap = limits.asset_day_usd.get(case.payment.asset)
    checks = (
        (usd, limits.order_usd, "the cap of one order"),
        (spent.hour_usd + usd, limits.hour_usd, "the cap of the hour"),
        (spent.day_usd + usd, limits.day_usd, "the cap of the day"),
        (spent.asset_day_usd + usd, asset_cap, "the cap of this asset and day"),
        (usd if worth.late else 0, limits.late_bind_cap_usd, "the cap of an order bound late"),
        (
            spent.late_hour_usd + usd if worth.late else 0,
            limits.late_bind_hourly_usd,
            "the cap of the hour for orders bound late",
        ),
    )
    for value, cap, name in checks:
        if cap is not None and value > cap * USD_SCALE:
            return Hold(f"it is above {name}")
    if spent.hour_count >= limits.hour_payments:
        return Hold("too many payments in this hour")
    return None


def fee_units_max(worth: Worth, native: tuple[Price, int] | None, limits: Limits) -> int | None:
    """The most a payment may burn, in units of its network's native coin. None: rate stale."""
    if native is None:
        return None
    price, decimals = native
    relative = floor_div(worth.paid_usd * limits.fee_bps, BPS)
    return units_of_usd(min(limits.fee_usd * USD_SCALE, relative), decimals, price.ask)
