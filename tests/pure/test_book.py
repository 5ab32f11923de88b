"""The book: stale, crossed, wide, outlying, jumping and de-pegged prices disappear."""

import msgspec
import pytest

from swapdesk.money import USD_SCALE
from swapdesk.rates.book import CLOCK_SKEW_MS, Book, Guards, Price, Tick, build
from swapdesk.rates.fixed import FixedSource
from tests.pure.test_pricing import BTC, ETH, REGISTRY, USDT

NOW = 1_000_000
GUARDS = Guards(sources_min=2)


def _tick(source: str, usd: int, *, spread_bps: int = 10, age: int = 0, coin: str = "BTC") -> Tick:
    bid = usd * USD_SCALE
    return Tick(source, coin, bid, bid + bid * spread_bps // 10_000, NOW - age)


def _btc(*ticks: Tick, guards: Guards = GUARDS, before: int | None = None) -> Price | str:
    previous = {"BTC": Price(before * USD_SCALE, before * USD_SCALE)} if before else None
    book = build(ticks, NOW, guards, previous)
    return book.prices.get("BTC") or book.stale["BTC"]


def test_the_median_of_sources_is_the_price() -> None:
    """Three sources: the middle one, side by side."""
    price = _btc(_tick("a", 61_900), _tick("b", 62_000), _tick("c", 62_050))
    assert price == Price(62_000 * USD_SCALE, 62_000 * USD_SCALE * 10_010 // 10_000)


@pytest.mark.parametrize(
    ("ticks", "why"),
    [
        ([_tick("a", 62_000)], "stale"),
        ([_tick("a", 62_000), _tick("b", 62_000, age=30_001)], "stale"),
        ([_tick("a", 62_000), _tick("b", 62_000, age=-CLOCK_SKEW_MS - 1)], "stale"),
        ([_tick("a", 62_000), _tick("b", 62_000, spread_bps=-1)], "crossed or wide"),
        ([_tick("a", 62_000), _tick("b", 62_000, spread_bps=301)], "crossed or wide"),
        ([_tick("a", 62_000), _tick("b", 0)], "crossed or wide"),
        ([_tick("a", 62_000), _tick("b", 70_000)], "sources disagree"),
    ],
)
def test_prices_that_cannot_be_trusted_disappear(ticks: list[Tick], why: str) -> None:
    """Each guard removes the coin and says why."""
    assert _btc(*ticks) == why


def test_an_outlier_is_dropped_and_the_others_count() -> None:
    """One source gone mad does not stop the desk while two agree."""
    price = _btc(_tick("a", 62_000), _tick("b", 62_010), _tick("mad", 6_200))
    assert isinstance(price, Price)
    assert price.bid == 62_000 * USD_SCALE


def test_a_jump_against_the_round_before_removes_the_coin() -> None:
    """20 % up or down within one round is not believed."""
    ticks = (_tick("a", 62_000), _tick("b", 62_000))
    assert isinstance(_btc(*ticks, before=60_000), Price)
    assert _btc(*ticks, before=50_000) == "jumped"
    assert _btc(*ticks, before=80_000) == "jumped"


def test_a_dollar_coin_off_its_peg_is_not_priced() -> None:
    """USDT at 0.95 disappears."""
    low = 95 * USD_SCALE // 100
    ticks = [Tick(s, "USDT", low, low, NOW) for s in "ab"]
    assert build(ticks, NOW, GUARDS).stale == {"USDT": "off its peg"}


def test_age_is_judged_when_the_book_is_used() -> None:
    """The same ticks are good now and stale later: a dead worker never freezes a price."""
    ticks = [_tick("a", 62_000), _tick("b", 62_000)]
    assert build(ticks, NOW, GUARDS).prices
    assert not build(ticks, NOW + 30_001, GUARDS).prices


def test_only_the_newest_tick_of_a_source_counts() -> None:
    """A source cannot outvote others by repeating itself."""
    book = build([_tick("a", 62_000), _tick("a", 62_000, age=5)], NOW, GUARDS)
    assert book.stale == {"BTC": "stale"}


@pytest.mark.anyio
async def test_rates_cross_through_the_dollar_and_same_coins_are_one_to_one() -> None:
    """The desk buys at the bid and sells at the ask; USDT to USDT is exactly 1."""
    ticks = await FixedSource({"BTC": "62000.50", "ETH": "3000", "USDT": "1"}).ticks(NOW)
    book = build(ticks, NOW, Guards())
    rate = book.rate(BTC, USDT)
    assert rate is not None
    assert rate.pays(10**8) == 62_000_500_000
    same = book.rate(USDT, REGISTRY.assets["usdt_eth"])
    assert same is not None
    assert same.pays(123_456_789) == 123_456_789
    assert book.rate(BTC, REGISTRY.assets["trx"]) is None
    wide = msgspec.structs.replace(book.prices["ETH"], ask=3_100 * USD_SCALE)
    spread = Book({**book.prices, "ETH": wide}, {})
    to_eth, back = spread.rate(BTC, ETH), spread.rate(ETH, BTC)
    assert to_eth is not None and back is not None
    assert back.pays(to_eth.pays(10**8)) < 10**8
