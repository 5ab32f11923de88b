"""What the vault's rooms hand each other: a payment on its way from an intent to the chain."""

import uuid
from typing import Literal, TypeAlias

import msgspec

from swapdesk.handoff import Binding, Kind

Purpose: TypeAlias = Literal["pay", "cancel"]
Ending: TypeAlias = Literal["final", "conflicted", "reverted"]


class CannotPay(Exception):
    """Not now: no coins, fees too high, an earlier payment in the way. Nothing was signed."""


class UnknownOutflow(Exception):
    """Money left the hot wallet by a transaction that is not in the journal. Everything stops."""


class Bound(msgspec.Struct, frozen=True):
    """A binding as the vault stored it."""

    binding: Binding
    stored_ms: int


class Payment(msgspec.Struct, frozen=True):
    """One live intent of the journal. None means not yet."""

    order_id: uuid.UUID
    attempt: int
    kind: Kind
    network: str
    asset: str
    units: int
    destination: str
    covers_units: int
    stored_ms: int
    doubt_ms: int | None  #: since when its deposit cannot be verified
    trouble: str | None
    tries: int
    next_ms: int
    signed_ms: int | None
    sent_ms: int | None
    verdict: Literal["approve", "refuse"] | None  #: the operator's word on it


class Prepared(msgspec.Struct, frozen=True):
    """Signed bytes that nobody has seen yet, and what they take from the hot wallet."""

    raw: bytes
    txid: str
    fee_units: int  #: exact on Bitcoin, at most this on account chains
    since_height: int  #: no block below can contain it
    inputs: tuple[tuple[str, int], ...] = ()  #: outpoints
    nonce: tuple[str, int] | None = None  #: (sender, nonce)


class Signed(msgspec.Struct, frozen=True):
    """One journalled variant of a payment."""

    txid: str
    raw: bytes
    purpose: Purpose
    fee_units: int
    since_height: int


class Worth(msgspec.Struct, frozen=True):
    """What a payment is worth by the vault's own rates, in 1/USD_SCALE dollars."""

    paid_usd: int
    received_usd: int
    late: bool  #: bound only after its deposit was in a block


class Coin(msgspec.Struct, frozen=True):
    """A coin of the hot wallet that no payment has taken."""

    txid: str
    vout: int
    units: int
    height: int
    ours: bool  #: change of a journalled transaction, so nobody else can take it back


class Outgoing(msgspec.Struct, frozen=True):
    """A live payment with signed bytes, as its account sees it."""

    nonce: int
    asset: str
    units: int
    fee_units: int
    sent: bool


class Spending(msgspec.Struct, frozen=True):
    """What was signed lately, in 1/USD_SCALE dollars; `loss` may be negative."""

    hour_count: int
    hour_usd: int
    day_usd: int
    hour_loss_usd: int
    day_loss_usd: int
    late_hour_usd: int
    asset_day_usd: int  #: of the asset in question alone
