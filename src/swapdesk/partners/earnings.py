"""What partners earn, in PostgreSQL: booked at the exchange, payable when the payout is final.

The books say how much is owed in which asset; this says for which order, since when it can be
paid, and in which payment it was. Dollars are 1/USD_SCALE of one, at the price of the exchange.
"""

import uuid
from typing import Final

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.money import BPS, ceil_div, floor_div

Q = queries(__package__, "earnings.sql")

#: Most partners, or payments, one list shows.
LIST_MAX: Final = 1_000


class Earned(msgspec.Struct, frozen=True):
    """What one order earns its partner: minor units of the asset that the customer receives."""

    asset: str
    markup_units: int
    share_units: int  #: of the base fee
    usd: int
    volume_usd: int  #: value of what the customer sent


class Earning(msgspec.Struct, frozen=True):
    """What one order earned, and how far it has come."""

    asset: str
    markup_units: int
    share_units: int
    usd: int | None  #: None before the exchange
    payable_ms: int | None
    payment_id: uuid.UUID | None


class Taken(msgspec.Struct, frozen=True):
    """What one payment pays in one asset."""

    asset: str
    units: int
    usd: int
    first_ms: int  #: since when the oldest of it was payable


class Payment(msgspec.Struct, frozen=True):
    """Earnings that the operator paid, outside the desk."""

    id: uuid.UUID
    reference: str
    paid_ms: int
    from_ms: int  #: the period it pays for
    to_ms: int
    usd: int


class Standing(msgspec.Struct, frozen=True):
    """How one partner stands."""

    partner_id: uuid.UUID
    name: str
    markup_bps: int
    share_bps: int  #: of the base fee, for orders opened from now on
    orders: int  #: done, ever; this and the next two never go down
    volume_usd: int
    earned_usd: int
    pending_usd: int  #: exchanged, the payout not final yet
    payable_usd: int
    cycle_usd: int  #: payable since the cycle was cleared, paid or not


def shares(gross_units: int, base_fee_bps: int, markup_bps: int, share_bps: int) -> tuple[int, int]:
    """(markup, share of the base fee) of an exchange. Pure; of the share the desk keeps the dust."""
    markup = ceil_div(gross_units * markup_bps, BPS)
    return markup, share_of_fee(ceil_div(gross_units * base_fee_bps, BPS), share_bps)


def share_of_fee(base_fee_units: int, share_bps: int) -> int:
    """The partner's part of a base fee. Rounds down."""
    return floor_div(base_fee_units * share_bps, BPS)


async def share_bps(tx: Tx, order_id: uuid.UUID) -> int:
    """The part of the base fee that was agreed when the order opened."""
    return int(await tx.fetchval(Q.share_of, order_id))


async def book(
    tx: Tx, order_id: uuid.UUID, partner_id: uuid.UUID, earned: Earned, now_ms: int
) -> None:
    """The order was exchanged. asyncpg.CheckViolationError if what it earned is payable already."""
    await tx.execute(
        Q.book, order_id, partner_id, earned.asset, earned.markup_units, earned.share_units,
        earned.usd, earned.volume_usd, now_ms,
    )  # fmt: skip


async def unbook(tx: Tx, order_id: uuid.UUID) -> None:
    """The exchange was undone."""
    await tx.execute(Q.unbook, order_id)


async def payable(tx: Tx, order_id: uuid.UUID, now_ms: int) -> None:
    """The payout is final: the order's earnings count. A repeat changes nothing."""
    await tx.execute(Q.payable, order_id, now_ms)


async def of_order(tx: Tx, order_id: uuid.UUID) -> Earning | None:
    """What the order's exchange earned; None before the first."""
    row = await tx.fetchrow(Q.of_order, order_id)
    return Earning(**dict(row)) if row else None


async def lock_partner(tx: Tx, name_or_id: str) -> uuid.UUID | None:
    """The partner, locked until the transaction ends; None for an unknown one."""
    found: uuid.UUID | None = await tx.fetchval(Q.lock_partner, name_or_id)
    return found


async def set_share(tx: Tx, partner_id: uuid.UUID, share_bps: int) -> None:
    """The part of the base fee for orders opened from now on."""
    await tx.execute(Q.set_share, partner_id, share_bps)


async def take_unpaid(tx: Tx, partner_id: uuid.UUID, payment_id: uuid.UUID) -> list[Taken]:
    """Put everything payable into a payment, to be written in the same transaction."""
    return [Taken(**dict(row)) for row in await tx.fetch(Q.take_unpaid, partner_id, payment_id)]


async def keep_payment(tx: Tx, partner_id: uuid.UUID, made: Payment) -> None:
    """Write a payment."""
    await tx.execute(
        Q.insert_payment, made.id, partner_id, made.reference, made.paid_ms, made.from_ms,
        made.to_ms, made.usd,
    )  # fmt: skip


async def find_payment(tx: Tx, partner_id: uuid.UUID, reference: str) -> Payment | None:
    """The payment with this reference."""
    row = await tx.fetchrow(Q.find_payment, partner_id, reference)
    return Payment(**dict(row)) if row else None


async def payments(tx: Tx, partner_id: uuid.UUID, at_most: int = LIST_MAX) -> list[Payment]:
    """A partner's payments, newest first."""
    return [Payment(**dict(row)) for row in await tx.fetch(Q.payments, partner_id, at_most)]


async def take_uncleared(tx: Tx, partner_id: uuid.UUID, cycle_id: uuid.UUID) -> tuple[int, int]:
    """Put the running cycle into one that is closed: its orders and what they earned."""
    row = await tx.fetchrow(Q.take_uncleared, partner_id, cycle_id)
    assert row is not None, "an aggregate has one row"
    return row["orders"], row["usd"]


async def keep_cycle(
    tx: Tx, cycle_id: uuid.UUID, partner_id: uuid.UUID, cleared_ms: int, usd: int
) -> None:
    """Write a closed cycle."""
    await tx.execute(Q.insert_cycle, cycle_id, partner_id, cleared_ms, usd)


async def last_cleared(tx: Tx, partner_id: uuid.UUID) -> int | None:
    """When the partner's cycle was cleared last."""
    cleared_ms: int | None = await tx.fetchval(Q.last_cleared, partner_id)
    return cleared_ms


async def standings(tx: Tx) -> list[Standing]:
    """How every partner stands, oldest first."""
    return [Standing(**dict(row)) for row in await tx.fetch(Q.standings, LIST_MAX)]
