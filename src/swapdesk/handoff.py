"""The only words shared by desk and vault. Nothing else crosses the link.

The desk offers bindings and intents; the vault pulls them, answers with acknowledgements and
reports. Every struct refuses unknown fields, so that neither side acts on half of a message.
"""

import hashlib
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


# The link: POST {private listener}/vault/v1/<call>, JSON both ways, signed by the vault.

LINK_PATH: Final = "/vault/v1/"
HEADER_TIME: Final = "X-Vault-Time"  #: milliseconds since 1970
HEADER_NONCE: Final = "X-Vault-Nonce"  #: 32 hexadecimal digits, used once
HEADER_SIGN: Final = "X-Vault-Sign"  #: Ed25519, hexadecimal, over `link_bytes`


class IntentKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which intent is meant."""

    order_id: str
    attempt: int


class ReportKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which report is meant: an intent is sent once and ends once."""

    order_id: str
    attempt: int
    outcome: Outcome


class OrderDeposits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the deposits of one order stand now; after a reorganisation, in other blocks."""

    order_id: str
    deposits: tuple[Deposit, ...]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The empty body: asks of `bindings` and `intents`, answer of acknowledgements and `beat`."""


class Bindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer of `bindings`: what the vault has not acknowledged, oldest first, one page."""

    rows: tuple[Binding, ...]


class BindingsAcknowledged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask of `bindings/acknowledge`."""

    rows: tuple[Acknowledged, ...]


class Intents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer of `intents`: live and not yet acknowledged, oldest first, one page."""

    rows: tuple[PayoutIntent, ...]


class IntentsAcknowledged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask of `intents/acknowledge`."""

    rows: tuple[IntentKey, ...]


class DepositsAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask of `deposits`."""

    order_ids: tuple[str, ...]


class Deposits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer of `deposits`; orders that the desk does not know are left out."""

    rows: tuple[OrderDeposits, ...]


class Reports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask of `reports`, oldest first."""

    rows: tuple[PayoutReport, ...]


class ReportsAccepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer of `reports`: those taken, now or before. The vault repeats the others."""

    accepted: tuple[ReportKey, ...]


def link_bytes(method: str, path: str, time_ms: int, nonce: str, body: bytes) -> bytes:
    """What the vault signs of a request: method, path, time, nonce and SHA-256 of the body."""
    head = f"{method}\n{path}\n{time_ms}\n{nonce}\n"
    return head.encode() + hashlib.sha256(body).hexdigest().encode()
