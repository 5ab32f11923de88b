"""An order as the rest of the desk sees it: the row, typed."""

import uuid

import msgspec

from swapdesk.money import Rate
from swapdesk.orders.states import State


class Order(msgspec.Struct, frozen=True, gc=False):
    """One order. Units are minor units; times are milliseconds; None means not yet."""

    id: uuid.UUID
    partner_id: uuid.UUID
    state: State
    rev: int
    shown: tuple[str, ...]  #: statuses told on the wire so far, in order
    from_asset: str
    to_asset: str
    direction: str
    from_units: int  #: expected; once the deposit counted: what counted
    to_units: int  #: what the customer receives
    rate: Rate
    snapshot_id: uuid.UUID
    base_fee_bps: int
    markup_bps: int
    network_fee_units: int
    min_units: int
    max_units: int
    destination: str | None  #: None once purged
    refund_address: str | None
    token_hash: bytes
    opened_ms: int
    window_ends_ms: int
    updated_ms: int
    paid_ms: int | None
    next_ms: int | None
    hold_reasons: tuple[str, ...]
    choice: str
    attestation: str | None
    network: str  #: of the pay-in address
    address_index: int
    address: str
    code_id: uuid.UUID | None = None  #: the reference code that brought it
    deleted_ms: int | None = None
    purged_ms: int | None = None

    @property
    def hidden(self) -> bool:
        """True when neither its partner nor its customer may see it any more."""
        return self.deleted_ms is not None or self.purged_ms is not None


class OrderView(msgspec.Struct, frozen=True, gc=False):
    """Everything a dialect may tell about an order. The engine makes it, dialects choose words."""

    order: Order
    now_ms: int
    deposit_txid: str | None  #: the largest deposit that counts or is on its way
    deposit_units: int | None  #: what really arrived or is arriving, in from_asset
    payout_txid: str | None
    payout_units: int | None
    refund_txid: str | None
    refund_units: int | None


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The answer to opening an order. `token` is None when the answer is a replay."""

    view: OrderView
    token: str | None
