"""The only words shared by desk and vault. Nothing else crosses the link.

The desk offers bindings and intents; the vault pulls them, answers with acknowledgements and
reports. Every struct refuses unknown fields, so that neither side acts on half of a message.
"""

from typing import Final, Literal

import msgspec

#: Most rows in one page of the link, and most bytes in one body, both ways.
PAGE_ROWS_MAX: Final = 100
LINK_BODY_BYTES_MAX: Final = 1_000_000
#: A signed request is accepted this long before or after its own time, and its nonce only once.
LINK_CLOCK_SKEW_MS: Final = 60_000

Kind = Literal["payout", "refund"]
Outcome = Literal["sent", "final", "refused", "conflicted", "reverted"]


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an order promised when it opened. Immutable: a second, different one stops the vault."""

    order_id: str  #: UUID
    network: str  #: where the customer pays in
    index: int  #: of the deposit address, unique per key family
    address: str  #: the deposit address; the vault derives it again and compares
    from_asset: str
    to_asset: str
    destination: str  #: where the payout goes
    refund_address: str | None  #: where a refund goes; final when given
    opened_at_ms: int


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the vault should look for money that arrived. A hint: it believes its own node."""

    txid: str
    position: str  #: vout, ordinal of the log in its receipt ("log:0"), or "value"
    block_hash: str
    units: int


class PayoutIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wish of the desk: pay `units` to the destination this order was bound to."""

    order_id: str
    attempt: int  #: 1, 2, ...; one live attempt per order
    kind: Kind
    asset: str  #: what is paid: the order's to_asset, or its from_asset for a refund
    units: int  #: minor units that leave for the destination
    destination: str
    covers_units: int  #: units of the order's from_asset that this payment answers for
    deposits: tuple[Deposit, ...]


class Acknowledged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vault has stored this binding; `attestation` is its Ed25519 signature (hex) over it."""

    order_id: str
    attestation: str


class PayoutReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of an intent. There is no "failed": unknown stays open until the chain tells.

    sent: signed bytes were broadcast. final: confirmed at depth. refused: nothing was or will be
    signed. conflicted, reverted: at final depth, so nothing of it can ever be paid.
    """

    order_id: str
    attempt: int
    outcome: Outcome
    txid: str | None = None  #: present unless refused
    fee_units: int = 0  #: network fee in the network's native asset; exact once final or reverted
    reason: str | None = None  #: present exactly when refused


class HotBalance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the hot wallet holds, confirmed and spendable, by the vault's own node."""

    asset: str
    units: int


class Beat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign of life with the reserves. A network whose vault is silent leaves the pairs."""

    fence: int  #: fencing number of the vault that speaks; a lower one is refused
    stopped: str | None  #: why the vault signs nothing at all, if so
    balances: tuple[HotBalance, ...]


def attested_bytes(binding: Binding) -> bytes:
    """The bytes the vault signs for a binding: its fields as canonical JSON, sorted by name."""
    return b"swapdesk-binding-v1\n" + msgspec.json.encode(binding, order="sorted")
