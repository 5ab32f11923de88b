"""Which postings a fact makes: pure. Plus is what we have, minus is what we owe or earned.

Every entry adds up to nothing per asset; the database refuses one that does not. Accounts:

    chain/<network>/deposits   coins at pay-in addresses
    chain/<network>/hot        coins in the hot wallet
    order/<id>                 what we owe a customer (never positive)
    desk/exchange              the desk's trading position
    desk/fees                  base fees and network fees charged
    partner/<id>/earnings      markup and shares of the base fee owed to a partner
    desk/network               network fees paid
    desk/paid_out              earnings that partners were paid, outside these books
    desk/capital               what the operator put in
    desk/dust                  outputs too small to count, which nobody can claim
    desk/suspense              money the chain took back after it was promised on
"""

import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

CAPITAL: Final = "desk/capital"
DUST: Final = "desk/dust"
EXCHANGE: Final = "desk/exchange"
FEES: Final = "desk/fees"
NETWORK: Final = "desk/network"
PAID_OUT: Final = "desk/paid_out"
SUSPENSE: Final = "desk/suspense"


def deposits(network: str) -> str:
    """Account of the coins at pay-in addresses."""
    return f"chain/{network}/deposits"


def hot(network: str) -> str:
    """Account of the hot wallet."""
    return f"chain/{network}/hot"


def order(order_id: uuid.UUID) -> str:
    """Account of what we owe for an order."""
    return f"order/{order_id}"


def earnings(partner_id: uuid.UUID) -> str:
    """Account of what a partner earned."""
    return f"partner/{partner_id}/earnings"


class Posting(msgspec.Struct, frozen=True):
    """One line: `units` (never zero) of `asset` to `account`."""

    account: str
    asset: str
    units: int


class Entry(msgspec.Struct, frozen=True):
    """One fact in the books. `key` names the fact, so that it posts once."""

    key: str
    kind: str
    order_id: uuid.UUID | None
    postings: tuple[Posting, ...]


class Exchange(msgspec.Struct, frozen=True):
    """The terms at which a deposit turns into a payout. All fees in the destination asset."""

    src: str
    dst: str
    from_units: int
    gross_units: int
    base_fee_units: int
    markup_units: int
    network_fee_units: int
    to_units: int
    share_units: int = 0  #: the partner's part of the base fee


def entry(key: str, kind: str, order_id: uuid.UUID | None, *lines: tuple[str, str, int]) -> Entry:
    """An entry of (account, asset, units) lines; zero lines are left out. Asserts the balance."""
    totals: dict[str, int] = {}
    for _, asset, units in lines:
        totals[asset] = totals.get(asset, 0) + units
    assert not any(totals.values()), f"entry {key} does not balance: {totals}"
    return Entry(key, kind, order_id, tuple(Posting(*line) for line in lines if line[2]))


class Arrived(msgspec.Struct, frozen=True):
    """A deposit as the books see it. `rev` counts how often it was credited or taken back."""

    order_id: uuid.UUID
    network: str
    output: str  #: txid/position
    rev: int
    asset: str
    units: int
    dust: bool  #: below what counts: nobody is owed it

    def key(self, rev: int) -> str:
        """Name of the fact that the deposit was credited or taken back for the `rev`-th time."""
        return f"deposit/{self.network}/{self.output}/{rev}"

    @property
    def owner(self) -> str:
        """Whose money it is."""
        return DUST if self.dust else order(self.order_id)


def received(a: Arrived, suspended: int) -> Entry:
    """A deposit became final: we have it and owe it. `suspended` units of it were promised on
    before the chain took it back; that part closes the loss instead of being owed twice."""
    return entry(
        a.key(a.rev), "received", a.order_id,
        (deposits(a.network), a.asset, a.units),
        (a.owner, a.asset, suspended - a.units), (SUSPENSE, a.asset, -suspended),
    )  # fmt: skip


def taken_back(a: Arrived, owed: int) -> Entry:
    """A final deposit left the chain. What is still owed shrinks by it; what was promised on
    already is a loss and waits in suspense."""
    back = a.units if a.dust else min(a.units, owed)
    return entry(
        a.key(a.rev), "taken_back", a.order_id,
        (deposits(a.network), a.asset, -a.units), (a.owner, a.asset, back),
        (SUSPENSE, a.asset, a.units - back),
    )  # fmt: skip


def exchanged(id: uuid.UUID, rev: int, partner_id: uuid.UUID, terms: Exchange) -> Entry:
    """The customer's coins became ours and we owe the other asset. Every share has its line."""
    owed = terms.gross_units - terms.base_fee_units - terms.markup_units - terms.network_fee_units
    assert owed == terms.to_units > 0, "the working of a price adds up"
    assert 0 <= terms.share_units <= terms.base_fee_units, "a share is a part of the base fee"
    kept = terms.base_fee_units - terms.share_units
    return entry(
        f"exchange/{id}/{rev}", "exchanged", id,
        (order(id), terms.src, terms.from_units), (EXCHANGE, terms.src, -terms.from_units),
        (EXCHANGE, terms.dst, terms.gross_units), (order(id), terms.dst, -terms.to_units),
        (FEES, terms.dst, -(kept + terms.network_fee_units)),
        (earnings(partner_id), terms.dst, -(terms.markup_units + terms.share_units)),
    )  # fmt: skip


def reversed_exchange(id: uuid.UUID, rev: int, made: Entry) -> Entry:
    """Undo an exchange whose payout will never be made: the opposite of every line."""
    lines = ((p.account, p.asset, -p.units) for p in made.postings)
    return entry(f"unexchange/{id}/{rev}", "unexchanged", id, *lines)


def paid(id: uuid.UUID, attempt: int, network: str, asset: str, units: int) -> Entry:
    """A payout or refund is final: the hot wallet paid and we no longer owe."""
    return entry(
        f"paid/{id}/{attempt}", "paid", id,
        (order(id), asset, units), (hot(network), asset, -units),
    )  # fmt: skip


def network_fee(id: uuid.UUID, attempt: int, network: str, native: str, fee: int) -> Entry:
    """What a payment cost on its network, also when it reverted."""
    return entry(
        f"fee/{id}/{attempt}", "network_fee", id,
        (NETWORK, native, fee), (hot(network), native, -fee),
    )  # fmt: skip


def refund_fee(id: uuid.UUID, attempt: int, asset: str, units: int) -> Entry:
    """The part of a refunded deposit that the customer pays for sending it back."""
    return entry(
        f"refund_fee/{id}/{attempt}", "refund_fee", id,
        (order(id), asset, units), (FEES, asset, -units),
    )  # fmt: skip


def earnings_paid(
    payment_id: uuid.UUID, partner_id: uuid.UUID, amounts: Mapping[str, int]
) -> Entry:
    """The operator paid a partner outside these books: the coins behind it are the desk's now."""
    lines = (
        line
        for asset, units in sorted(amounts.items())
        for line in ((earnings(partner_id), asset, units), (PAID_OUT, asset, -units))
    )
    return entry(f"earnings_paid/{payment_id}", "earnings_paid", None, *lines)


def capital(key: str, network: str, asset: str, units: int) -> Entry:
    """The operator put coins into the hot wallet."""
    return entry(
        f"capital/{key}", "capital", None, (hot(network), asset, units), (CAPITAL, asset, -units)
    )
