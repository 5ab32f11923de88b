"""Tethers become dollars at what a tether is worth now, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from swapdesk.money import USD_SCALE
from swapdesk.rates.book import Guards, Tick, build
from swapdesk.rates.dollars import USD, USDT, Heard, in_dollars

NOW = 1_000_000
GUARDS = Guards(sources_min=2)


def _heard(source: str, coin: str, quote: str, milli: int, *, age: int = 0, wide: int = 0) -> Heard:
    """A market at `milli` thousandths of its quote currency."""
    bid = milli * USD_SCALE // 1000
    return Heard(quote, Tick(source, coin, bid, bid + bid * wide // 10_000, NOW - age))


def _bids(*heard: Heard, guards: Guards = GUARDS) -> dict[tuple[str, str], int]:
    """(source, coin) -> bid in whole dollars."""
    ticks = in_dollars(heard, NOW, guards)
    assert len({(tick.source, tick.coin) for tick in ticks}) == len(ticks)
    return {(tick.source, tick.coin): tick.bid // USD_SCALE for tick in ticks}


TWO_TETHERS = (_heard("a", USDT, USD, 1000), _heard("b", USDT, USD, 1000))


def test_dollars_stay_dollars() -> None:
    """A market in dollars is taken as it is, digit for digit."""
    (tick,) = in_dollars([_heard("a", "BTC", USD, 62_000_123, age=7)], NOW, GUARDS)
    assert tick == _heard("a", "BTC", USD, 62_000_123, age=7).tick


def test_the_own_tether_goes_before_the_common_one() -> None:
    """A source converts by its own USDT/USD; others by what the live ones agree on."""
    tethers = (_heard("a", USDT, USD, 990), _heard("b", USDT, USD, 1000))
    told = _bids(*tethers, *(_heard(s, "BTC", USDT, 100_000_000) for s in "abc"))
    assert told["a", "BTC"] == 99_000
    assert told["b", "BTC"] == 100_000
    assert told["c", "BTC"] == 99_000  # the lower of two that agree


def test_a_depeg_is_not_hidden() -> None:
    """At 0.90 dollars a tether, BTC in USDT is worth 10 % less in dollars; USDT itself is gone."""
    tethers = [_heard(source, USDT, USD, 900) for source in "ab"]
    heard = [*tethers, _heard("a", "BTC", USD, 62_000_000), _heard("c", "BTC", USDT, 68_888_000)]
    book = build(in_dollars(heard, NOW, GUARDS), NOW, GUARDS)
    assert book.prices["BTC"].bid // USD_SCALE in range(61_999, 62_001)
    assert book.stale == {USDT: "off its peg"}


def test_without_a_trustworthy_tether_nothing_is_converted() -> None:
    """No USDT/USD, a stale one, too few, or two that disagree: never one dollar by assumption."""
    quoted = _heard("c", "BTC", USDT, 62_000_000)
    assert _bids(quoted) == {}
    assert ("c", "BTC") not in _bids(quoted, TWO_TETHERS[0])
    stale = _heard("b", USDT, USD, 1000, age=31_000)
    assert ("c", "BTC") not in _bids(quoted, TWO_TETHERS[0], stale)
    apart = _heard("b", USDT, USD, 900)
    assert ("c", "BTC") not in _bids(quoted, TWO_TETHERS[0], apart)
    wide = _heard("b", USDT, USD, 1000, wide=400)
    assert ("c", "BTC") not in _bids(quoted, TWO_TETHERS[0], wide)
    assert _bids(quoted, *TWO_TETHERS)["c", "BTC"] == 62_000
    assert _bids(quoted, TWO_TETHERS[0], guards=Guards())["c", "BTC"] == 62_000


def test_a_converted_price_is_as_old_as_its_older_half() -> None:
    """A stale tether cannot hide behind a fresh price, nor the other way round."""
    for coin_age, tether_age in ((5, 20_000), (20_000, 5)):
        heard = [_heard("a", USDT, USD, 1000, age=tether_age)]
        heard += [_heard("b", USDT, USD, 1000), _heard("a", "BTC", USDT, 62_000_000, age=coin_age)]
        ticks = in_dollars(heard, NOW, GUARDS)
        (btc,) = [tick for tick in ticks if tick.coin == "BTC"]
        assert btc.received_ms == NOW - 20_000


def test_a_market_in_tethers_stands_in_for_a_dead_one_in_dollars() -> None:
    """One tick per source and coin: the dollar market while it lives, else the converted one."""
    dollar, tether = _heard("a", "BTC", USD, 61_000_000), _heard("a", "BTC", USDT, 62_000_000)
    assert _bids(dollar, tether, *TWO_TETHERS)["a", "BTC"] == 61_000
    dead = _heard("a", "BTC", USD, 61_000_000, age=31_000)
    assert _bids(dead, tether, *TWO_TETHERS)["a", "BTC"] == 62_000
    crossed = _heard("a", "BTC", USD, 61_000_000, wide=-10)
    assert _bids(crossed, tether, *TWO_TETHERS)["a", "BTC"] == 62_000
    assert _bids(dead)["a", "BTC"] == 61_000  # for the book to call it stale


PRICES = st.integers(1, 10**19)


@given(PRICES, PRICES, PRICES, PRICES)
def test_conversion_never_narrows_the_spread(b: int, a: int, tether_b: int, tether_a: int) -> None:
    """Bid down, ask up, exactly: whatever the digits."""
    bid, ask, low, high = min(a, b), max(a, b), min(tether_a, tether_b), max(tether_a, tether_b)
    heard = [
        Heard(USD, Tick("a", USDT, low, high, NOW)),
        Heard(USDT, Tick("a", "BTC", bid, ask, NOW)),
    ]
    for tick in in_dollars(heard, NOW, Guards(spread_bps_max=10**30)):
        if tick.coin == "BTC":
            assert tick.bid * USD_SCALE <= bid * low < (tick.bid + 1) * USD_SCALE
            assert (tick.ask - 1) * USD_SCALE < ask * high <= tick.ask * USD_SCALE
