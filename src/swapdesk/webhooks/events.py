"""What partners are told: the resource as JSON, the event around it, when to try again.

Pure. A body is frozen when the event happens: a late delivery still tells what was true then
(contract A10, D53).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from swapdesk.assets import Registry
from swapdesk.money import show, show_rate, show_usd
from swapdesk.orders.order import Order, OrderView
from swapdesk.orders.shown import SIGNED_V1
from swapdesk.orders.states import State

#: The status words of this wire.
STATUS: Final[Mapping[State, str]] = SIGNED_V1
ORDER_STATUS_CHANGED: Final = "order.status_changed"
PARTNER_PAID_OUT: Final = "partner.paid_out"
EARNINGS_CLEARED: Final = "earnings.cleared"
#: What a partner may subscribe to; a new one starts with the first.
EVENTS: Final = (ORDER_STATUS_CHANGED, PARTNER_PAID_OUT, EARNINGS_CLEARED)
#: Sent when somebody asks for it, whatever the subscription is.
PROBE: Final = "webhook.test"

#: Wait before each attempt, counted from the one before: 8 attempts in about 8.7 hours.
LADDER_MS: Final = (0, 10_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 21_600_000)
#: How long an undelivered event holds back the later ones of its order (contract D54).
HOLD_BACK_MS: Final = 600_000

#: Reasons as this wire knows them; what it has no word for is the desk's own affair.
REASON: Final[Mapping[str, str]] = MappingProxyType({"LIMIT": "LIMIT", "EXPIRED": "EXPIRED"})


class Time(msgspec.Struct, frozen=True, gc=False):
    """Unix seconds."""

    reg: int
    expiration: int
    left: int
    update: int
    finish: int | None  #: when the payout was broadcast; null until DONE


class SideTx(msgspec.Struct, frozen=True, gc=False):
    """A transaction and what it moved, as a decimal string."""

    id: str | None
    amount: str | None


class Side(msgspec.Struct, frozen=True, gc=False):
    """One side of the swap."""

    code: str
    network: str
    amount: str
    address: str | None
    tx: SideTx


class BackTx(msgspec.Struct, frozen=True, gc=False):
    """The refund's transaction."""

    id: str | None


class Back(msgspec.Struct, frozen=True, gc=False):
    """Where money goes back to."""

    address: str | None
    tx: BackTx


class Emergency(msgspec.Struct, frozen=True, gc=False):
    """Why somebody must decide, and what was decided."""

    status: list[str]
    choice: Literal["NONE", "EXCHANGE"]


class OrderDto(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An order as contract A5.4 spells it, without its token."""

    id: str
    type: Literal["float"]
    status: str
    time: Time
    from_: Side = msgspec.field(name="from")
    to: Side
    back: Back
    emergency: Emergency
    rate: str
    network_fee: str  #: in the destination asset
    markup_bps: int


class StatusChanged(msgspec.Struct, frozen=True):
    """The body of order.status_changed."""

    event: Literal["order.status_changed"]
    order: OrderDto
    ts: int  #: milliseconds


def order_dto(view: OrderView, registry: Registry) -> OrderDto:
    """The order in the words of this wire."""
    order = view.order
    src, dst = registry.assets[order.from_asset], registry.assets[order.to_asset]
    status = order.shown[-1]
    paid = None if view.payout_units is None else show(view.payout_units, dst.decimals)
    arrived = None if view.deposit_units is None else show(view.deposit_units, src.decimals)
    return OrderDto(
        id=str(order.id),
        type="float",
        status=status,
        time=_time(view, status),
        from_=Side(
            code=src.code,
            network=registry.network_of(src).name,
            amount=show(order.from_units, src.decimals),
            address=order.address,
            tx=SideTx(view.deposit_txid, arrived),
        ),
        to=Side(
            code=dst.code,
            network=registry.network_of(dst).name,
            amount=show(order.to_units, dst.decimals),
            address=order.destination,
            tx=SideTx(view.payout_txid, paid),
        ),
        back=Back(order.refund_address, BackTx(view.refund_txid)),
        emergency=_emergency(order, status),
        rate=show_rate(order.rate, src.decimals, dst.decimals),
        network_fee=show(order.network_fee_units, dst.decimals),
        markup_bps=order.markup_bps,
    )


def _time(view: OrderView, status: str) -> Time:
    order = view.order
    expiration = order.window_ends_ms // 1000
    finish = order.paid_ms // 1000 if status == "DONE" and order.paid_ms is not None else None
    return Time(
        reg=order.opened_ms // 1000,
        expiration=expiration,
        left=max(0, expiration - view.now_ms // 1000),
        update=order.updated_ms // 1000,
        finish=finish,
    )


def _emergency(order: Order, status: str) -> Emergency:
    """Empty outside EMERGENCY, never empty inside."""
    if status != "EMERGENCY":
        return Emergency([], "NONE")
    reasons = [REASON[reason] for reason in order.hold_reasons if reason in REASON]
    return Emergency(reasons or ["LIMIT"], "EXCHANGE" if order.choice == "EXCHANGE" else "NONE")


def status_changed_body(view: OrderView, registry: Registry) -> bytes:
    """The frozen body of order.status_changed."""
    event = StatusChanged(ORDER_STATUS_CHANGED, order_dto(view, registry), view.now_ms)
    return msgspec.json.encode(event)


class PaidOut(msgspec.Struct, frozen=True):
    """A period's earnings that the operator has paid. Times in ms, money in 1/USD_SCALE dollars.

    Receivers dedupe on `paid_out_ms`: two payments of one partner never share it.
    """

    paid_out_ms: int
    period_from_ms: int
    period_to_ms: int
    total_usd: int
    reference: str  #: the operator's own: a transaction id, an invoice


class Cleared(msgspec.Struct, frozen=True):
    """An accounting cycle that was closed. Units and deduplication as in PaidOut."""

    cleared_ms: int
    total_usd: int


class PayoutDto(msgspec.Struct, frozen=True, rename="camel"):
    """`payout` on the wire: times in ISO 8601, dollars with two digits (contract D48)."""

    paid_out_at: str
    period_from: str
    period_to: str
    total_usd: str
    reference: str


class EarningsDto(msgspec.Struct, frozen=True, rename="camel"):
    """`earnings` on the wire."""

    cleared_at: str
    total_usd: str


def paid_out_body(payout: PaidOut, now_ms: int) -> bytes:
    """The frozen body of partner.paid_out."""
    dto = PayoutDto(
        paid_out_at=instant(payout.paid_out_ms),
        period_from=instant(payout.period_from_ms),
        period_to=instant(payout.period_to_ms),
        total_usd=show_usd(payout.total_usd),
        reference=payout.reference,
    )
    return msgspec.json.encode({"event": PARTNER_PAID_OUT, "payout": dto, "ts": now_ms})


def cleared_body(cleared: Cleared, now_ms: int) -> bytes:
    """The frozen body of earnings.cleared."""
    dto = EarningsDto(instant(cleared.cleared_ms), show_usd(cleared.total_usd))
    return msgspec.json.encode({"event": EARNINGS_CLEARED, "earnings": dto, "ts": now_ms})


def probe_body(now_ms: int) -> bytes:
    """The body of webhook.test."""
    return msgspec.json.encode({"event": PROBE, "test": {"sentAt": instant(now_ms)}, "ts": now_ms})


def instant(at_ms: int) -> str:
    """A time as ISO 8601 in UTC: "2026-05-13T08:42:11.000Z"."""
    seconds = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{at_ms % 1000:03}Z"


def next_try_ms(attempts_made: int, now_ms: int) -> int | None:
    """When to try again after `attempts_made` failures; None: it is dead."""
    if attempts_made >= len(LADDER_MS):
        return None
    return now_ms + LADDER_MS[attempts_made]
