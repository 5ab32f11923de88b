"""Pricing: quote, create and re-pricing share one function, and it never pays too much."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swapdesk import assets
from swapdesk.errors import No, Refused
from swapdesk.money import USD_SCALE
from swapdesk.pricing import Ask, Fees, price, refund_units, within_bounds
from swapdesk.rates.book import Book, Price

REGISTRY = assets.load(
    "dev",
    {
        "bitcoin": assets.NetworkSetup(),
        "tron": assets.NetworkSetup(reader="simulated"),
        "ethereum": assets.NetworkSetup(contracts={"usdt_eth": "0x01", "usdc_eth": "0x02"}),
    },
)
BTC, USDT, ETH = (REGISTRY.assets[code] for code in ("btc", "usdt_trc20", "eth"))
FEES = Fees(base_bps=50, network_usd=12 * USD_SCALE // 10)


def _book(btc: int = 62_000, eth: int = 3_000) -> Book:
    dollars = {"BTC": btc, "USDT": 1, "ETH": eth, "TRX": 1}
    return Book({c: Price(p * USD_SCALE, p * USD_SCALE) for c, p in dollars.items()}, {})


def test_a_price_shows_its_working() -> None:
    """0.01 BTC at 62,000: 620 gross, 0.5 % base, 0.5 % markup, 1.20 network."""
    quote = price(Ask(BTC, USDT, "from", 1_000_000, 50), _book(), FEES)
    assert quote.gross_units == 620_000_000
    assert quote.base_fee_units == quote.markup_units == 3_100_000
    assert quote.network_fee_units == 1_200_000
    assert quote.to_units == 612_600_000
    assert quote.from_usd == 620 * USD_SCALE
    assert quote.from_btc_units == 1_000_000


ASKS = st.builds(
    Ask,
    st.sampled_from([BTC, USDT, ETH]),
    st.sampled_from([BTC, USDT, ETH]),
    st.sampled_from(["from", "to"]),
    st.integers(min_value=1, max_value=10**30),
    st.integers(min_value=0, max_value=2000),
)


@given(ASKS, st.integers(min_value=1, max_value=10**6), st.integers(min_value=1, max_value=10**5))
def test_the_working_adds_up_and_nothing_is_given_away(ask: Ask, btc: int, eth: int) -> None:
    """gross = net + every fee; the shares are at least what their basis points say."""
    assume(ask.src is not ask.dst)
    quote = price(ask, _book(btc, eth), FEES)
    fees = quote.base_fee_units + quote.markup_units + quote.network_fee_units
    assert quote.to_units == max(quote.gross_units - fees, 0)
    assert quote.base_fee_units * 10_000 >= quote.gross_units * FEES.base_bps
    assert quote.markup_units * 10_000 >= quote.gross_units * ask.markup_bps
    assert quote.gross_units <= quote.rate.pays(quote.from_units)


@given(ASKS)
def test_direction_to_asks_for_the_least_deposit(ask: Ask) -> None:
    """What is asked for `to` pays at least that much, and one unit less does not."""
    assume(ask.src is not ask.dst and ask.direction == "to")
    quote = price(ask, _book(), FEES)
    assert quote.to_units >= ask.units
    if quote.from_units > 1:
        less = Ask(ask.src, ask.dst, "from", quote.from_units - 1, ask.markup_bps)
        assert price(less, _book(), FEES).to_units < ask.units


def test_bounds_are_inclusive_and_minimum_is_checked_first() -> None:
    """At the bound an order is taken, one unit outside it is refused with its own reason."""
    edge = price(Ask(BTC, USDT, "from", 10**6, 0), _book(), FEES)
    for units, no in (
        (edge.min_units, None),
        (edge.min_units - 1, No.BELOW_MIN),
        (edge.max_units, None),
        (edge.max_units + 1, No.ABOVE_MAX),
    ):
        quote = price(Ask(BTC, USDT, "from", units, 0), _book(), FEES)
        if no is None:
            within_bounds(quote)
        else:
            with pytest.raises(Refused) as refused:
                within_bounds(quote)
            assert refused.value.no is no


def test_a_stale_leg_refuses() -> None:
    """No price, no quote: code 11 on the wire."""
    with pytest.raises(Refused) as refused:
        price(Ask(BTC, USDT, "from", 10**6, 0), Book({}, {"BTC": "stale"}), FEES)
    assert refused.value.no is No.UNAVAILABLE


@pytest.mark.parametrize(("markup", "units"), [(-1, 1), (2001, 1), (0, 0), (0, -5), (0, 10**90)])
def test_nonsense_is_invalid(markup: int, units: int) -> None:
    """Markup out of range, nothing, less than nothing, more than there is."""
    with pytest.raises(Refused) as refused:
        price(Ask(BTC, USDT, "from", units, markup), _book(), FEES)
    assert refused.value.no is No.INVALID


def test_a_refund_bears_its_network_fee_and_dust_is_not_sent() -> None:
    """$1.20 of bitcoin at 62,000 is 1936 sat, rounded up; a refund of dust is refused."""
    assert refund_units(20_000, BTC, _book(), FEES) == 20_000 - 1_936
    with pytest.raises(Refused):
        refund_units(2_900, BTC, _book(), FEES)
