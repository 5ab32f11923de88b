"""Money: every rounding favours the desk, and text that is no amount is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapdesk.money import (
    BadAmount,
    Rate,
    ceil_div,
    from_wire,
    parse,
    show,
    show_rate,
    show_usd,
    units_of_usd,
    units_of_usd_up,
    usd_of,
)

UNITS = st.integers(min_value=1, max_value=10**30)
RATES = st.builds(lambda n, d: Rate("a", "b", n, d), UNITS, UNITS)


@given(RATES, UNITS)
def test_what_costs_says_is_enough_and_not_one_unit_more(rate: Rate, want: int) -> None:
    """`costs` is the least deposit that pays `want`."""
    cost = rate.costs(want)
    assert want <= rate.pays(cost)
    assert rate.pays(cost - 1) < want


@given(RATES, UNITS)
def test_paying_never_rounds_up(rate: Rate, sent: int) -> None:
    """The customer never receives more than the exact quotient."""
    assert rate.pays(sent) * rate.den <= sent * rate.num


@given(st.integers(min_value=0, max_value=10**40), st.integers(min_value=0, max_value=18))
def test_text_and_units_are_one_to_one(units: int, decimals: int) -> None:
    """What is shown parses back to the same units."""
    assert parse(show(units, decimals), decimals) == units
    assert from_wire(Decimal(show(units, decimals)), decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0.1", 8, 10_000_000),
        ("1", 0, 1),
        ("0.123456789", 8, 12_345_678),  # cut, in the desk's favour
        ("00.50", 2, 50),
        ("1.", 2, None),
        ("", 2, None),
        (".5", 2, None),
        ("-1", 2, None),
        ("+1", 2, None),
        ("1e3", 2, None),
        ("NaN", 2, None),
        ("Infinity", 2, None),
        (" 1", 2, None),
        ("1_000", 2, None),
        ("１", 2, None),  # noqa: RUF001 - a full-width digit is not a digit of ours
        ("1,5", 2, None),
        ("0." + "1" * 19, 18, None),
        ("1" * 65, 2, None),
    ],
)
def test_amounts_are_plain_decimals(text: str, decimals: int, units: int | None) -> None:
    """Anything but digits with one optional point is refused."""
    if units is None:
        with pytest.raises(BadAmount):
            parse(text, decimals)
    else:
        assert parse(text, decimals) == units


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999999", "1e-999999", "-1"])
def test_monstrous_numbers_are_refused_before_they_are_expanded(text: str) -> None:
    """A JSON number may say 1e999999; nobody multiplies that out."""
    with pytest.raises(BadAmount):
        from_wire(Decimal(text), 8)


def test_json_numbers_keep_their_digits() -> None:
    """0.1 + 0.2 written as JSON stays what it says."""
    assert from_wire(Decimal("0.3"), 18) == 3 * 10**17
    assert from_wire(Decimal("1E-2"), 8) == 1_000_000


@given(UNITS, st.integers(min_value=0, max_value=18), st.integers(min_value=1, max_value=10**18))
def test_dollars_are_cut_on_the_way_out_and_lifted_for_minimums(
    usd: int, decimals: int, price: int
) -> None:
    """`units_of_usd` is worth at most, `units_of_usd_up` at least `usd`."""
    assert usd_of(units_of_usd(usd, decimals, price), decimals, price) <= usd
    up = units_of_usd_up(usd, decimals, price)
    assert up * price >= usd * 10**decimals
    assert ceil_div(usd * 10**decimals, price) == up


def test_rates_and_dollars_are_shown_as_the_wire_wants_them() -> None:
    """Eight digits for a rate, two for dollars, always cut."""
    rate = Rate("btc", "usdt", 62_450_123_456_789, 10**8 * 10**3)
    assert show_rate(rate, 8, 6) == "62450.12345678"
    assert show_usd(1_239_999_999_999) == "1.23"
