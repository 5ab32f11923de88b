"""Ledger entries: every fact adds up to nothing, per asset, whatever the numbers."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapdesk.assets import Asset
from swapdesk.ledger import entries
from swapdesk.ledger.entries import Arrived, Exchange
from swapdesk.partners.earnings import share_of_fee, shares
from swapdesk.pricing import Ask, price
from tests.pure.test_pricing import BTC, ETH, FEES, USDT, _book

ID, PARTNER = uuid.UUID(int=1), uuid.UUID(int=2)
UNITS = st.integers(min_value=1, max_value=10**40)


def _totals(*made: entries.Entry) -> dict[str, int]:
    totals: dict[str, int] = {}
    for entry in made:
        for posting in entry.postings:
            totals[posting.asset] = totals.get(posting.asset, 0) + posting.units
    return totals


def _arrived(units: int, rev: int = 1, *, dust: bool = False) -> Arrived:
    return Arrived(ID, "bitcoin", "t/0", rev, "btc", units, dust)


@given(UNITS, st.data())
def test_money_taken_back_and_seen_again_is_owed_once(units: int, data: st.DataObject) -> None:
    """Credit, loss and return of a deposit leave the customer owed exactly its units, however
    much had been promised on in between."""
    owed = data.draw(st.integers(min_value=0, max_value=units))
    lost = entries.taken_back(_arrived(units, 2), owed)
    suspended = sum(p.units for p in lost.postings if p.account == entries.SUSPENSE)
    back = entries.received(_arrived(units, 3), suspended)
    assert suspended == units - owed
    for entry in (lost, back):
        assert not any(_totals(entry).values())
    accounts: dict[str, int] = {}
    for posting in (*lost.postings, *back.postings):
        accounts[posting.account] = accounts.get(posting.account, 0) + posting.units
    assert not any(accounts.values())


@given(
    st.sampled_from([(BTC, USDT), (USDT, BTC), (ETH, BTC), (BTC, ETH)]),
    st.integers(min_value=10**5, max_value=10**24),
    st.integers(min_value=0, max_value=2000),
    st.integers(min_value=0, max_value=10_000),
)
def test_an_exchange_books_every_share(
    pair: tuple[Asset, Asset], units: int, markup: int, share_bps: int
) -> None:
    """Price and books agree for every combination of decimals; undoing leaves nothing. A share of
    the base fee goes from the desk to the partner, and costs the customer nothing."""
    src, dst = pair
    quote = price(Ask(src, dst, "from", units, markup), _book(), FEES)
    if quote.to_units == 0:
        return
    terms = Exchange(
        src.code, dst.code, quote.from_units, quote.gross_units, quote.base_fee_units,
        quote.markup_units, quote.network_fee_units, quote.to_units,
        share_of_fee(quote.base_fee_units, share_bps),
    )  # fmt: skip
    made = entries.exchanged(ID, 3, PARTNER, terms)
    assert not any(_totals(made).values())
    owed = {p.asset: p.units for p in made.postings if p.account == entries.order(ID)}
    assert owed == {src.code: quote.from_units, dst.code: -quote.to_units}
    account = {p.account: -p.units for p in made.postings if p.asset == dst.code}
    earned = account.get(entries.earnings(PARTNER), 0)
    assert earned == quote.markup_units + terms.share_units
    fees = quote.base_fee_units + quote.network_fee_units
    assert account.get(entries.FEES, 0) + terms.share_units == fees
    assert shares(quote.gross_units, FEES.base_bps, markup, share_bps) == (
        quote.markup_units, terms.share_units,
    )  # fmt: skip
    undone = entries.reversed_exchange(ID, 3, made)
    assert {(p.account, p.asset, -p.units) for p in undone.postings} == {
        (p.account, p.asset, p.units) for p in made.postings
    }


@given(UNITS, st.integers(min_value=0, max_value=10**18))
def test_payments_and_their_fees_balance(units: int, fee: int) -> None:
    """Payout, refund, fees, capital: nothing appears or vanishes."""
    for entry in (
        entries.paid(ID, 1, "tron", "usdt_trc20", units),
        entries.network_fee(ID, 1, "tron", "trx", fee),
        entries.refund_fee(ID, 1, "btc", fee),
        entries.capital("opening", "bitcoin", "btc", units),
        entries.received(_arrived(units, dust=True), 0),
        entries.taken_back(_arrived(units, 2, dust=True), 0),
    ):
        assert not any(_totals(entry).values())
        assert all(posting.units for posting in entry.postings)


@given(st.dictionaries(st.sampled_from(["btc", "eth", "usdt_trc20"]), UNITS | st.just(0)))
def test_paying_a_partner_empties_his_account(amounts: dict[str, int]) -> None:
    """Asset by asset, against desk/paid_out; an asset without anything has no line."""
    made = entries.earnings_paid(ID, PARTNER, amounts)
    assert not any(_totals(made).values())
    told = {p.asset: p.units for p in made.postings if p.account == entries.earnings(PARTNER)}
    assert told == {asset: units for asset, units in amounts.items() if units}


def test_a_share_is_a_part_of_the_base_fee() -> None:
    """Nobody can be given more of it than there is."""
    with pytest.raises(AssertionError):
        entries.exchanged(ID, 1, PARTNER, Exchange("btc", "trx", 5, 100, 10, 5, 5, 80, 11))


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    """The constructor itself refuses."""
    with pytest.raises(AssertionError):
        entries.entry("x", "x", None, ("a", "btc", 1), ("b", "btc", -2))
