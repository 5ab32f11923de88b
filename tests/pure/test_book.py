"""The book: stale, crossed, wide, outlying, jumping and de-pegged prices disappear."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapdesk.money import USD_SCALE
from swapdesk.rates.book import (
    CLOCK_SKEW_MS,
    Book,
    Guards,
    Memory,
    Price,
    Tick,
    build,
    is_fresh,
    is_sane,
    judged_until,
    remember,
)
from swapdesk.rates.fixed import FixedSource
from swapdesk.rates.store import Market, Snapshot, next_snapshot
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


ROUND_MS = 5_000


def _rounds(prices: list[int], *, start: int = NOW, guards: Guards = GUARDS) -> list[str]:
    """What happens to BTC, round by round, when both sources tell these dollars."""
    memory, seen = Memory({"BTC": Price(60_000 * USD_SCALE, 60_000 * USD_SCALE)}), []
    for number, dollars in enumerate(prices):
        at = start + number * ROUND_MS
        ticks = [msgspec.structs.replace(_tick(s, dollars), received_ms=at) for s in "ab"]
        book = build(ticks, at, guards, memory.trusted)
        seen.append("ok" if "BTC" in book.prices else book.stale.get("BTC", ""))
        memory = remember(memory, book, at, guards)
    return seen


SETTLE = GUARDS.settle_ms // ROUND_MS


def test_a_jump_that_lasts_is_believed() -> None:
    """25 % up, told by every source for ten minutes: the coin comes back, and not a round before."""
    seen = _rounds([75_000] * (SETTLE + 2))
    assert seen == ["jumped"] * (SETTLE + 1) + ["ok"]


def test_a_jump_that_returns_is_forgotten() -> None:
    """Back at the old level the coin is there at once; the next jump waits from its beginning."""
    seen = _rounds([75_000] * SETTLE + [60_000] + [75_000] * SETTLE)
    assert seen == ["jumped"] * SETTLE + ["ok"] + ["jumped"] * SETTLE


def test_a_level_that_wanders_does_not_settle() -> None:
    """A price that moves on by more than 5 % begins anew each time; a drift below that does not."""
    wild = [75_000 if number // 20 % 2 else 80_000 for number in range(2 * SETTLE)]
    assert set(_rounds(wild)) == {"jumped"}
    calm = [75_000 + number for number in range(SETTLE + 2)]
    assert _rounds(calm)[-1] == "ok"


def test_a_gap_makes_a_level_begin_anew() -> None:
    """Two looks ten minutes apart confirm nothing of the time between them."""
    memory = Memory({"BTC": Price(60_000 * USD_SCALE, 60_000 * USD_SCALE)})
    for at in (NOW, NOW + GUARDS.settle_ms + 1):
        ticks = [msgspec.structs.replace(_tick(s, 75_000), received_ms=at) for s in "ab"]
        memory = remember(memory, build(ticks, at, GUARDS, memory.trusted), at, GUARDS)
    assert memory.trusted["BTC"].bid == 60_000 * USD_SCALE
    assert memory.levels["BTC"].since_ms == NOW + GUARDS.settle_ms + 1


@pytest.mark.parametrize(
    "third", [_tick("c", 60_000), _tick("c", 75_000, spread_bps=-1), _tick("c", 75_000, spread_bps=400)]
)  # fmt: skip
def test_one_live_source_against_it_keeps_a_level_from_settling(third: Tick) -> None:
    """Unanimity of all that live, not a majority; a source that is dead has no say."""
    ticks = [_tick("a", 75_000), _tick("b", 75_000), third]
    before = {"BTC": Price(60_000 * USD_SCALE, 60_000 * USD_SCALE)}
    book = build(ticks, NOW, GUARDS, before)
    assert book.stale == {"BTC": "jumped"}
    assert not book.jumped
    dead = msgspec.structs.replace(third, received_ms=NOW - 31_000)
    assert build([*ticks[:2], dead], NOW, GUARDS, before).jumped


def test_rounds_in_the_database_remember_the_level() -> None:
    """next_snapshot carries the waiting from row to row, and a row of an older version decodes."""
    ticks = [_tick("a", 60_000), _tick("b", 60_000)]
    market, at, seen = Market(UUID(int=1), next_snapshot(ticks, None, NOW, GUARDS)), NOW, []
    for _ in range(SETTLE + 4):
        at += ROUND_MS
        ticks = [msgspec.structs.replace(_tick(s, 75_000), received_ms=at) for s in "ab"]
        kept = msgspec.json.encode(next_snapshot(ticks, market, at, GUARDS))
        market = Market(UUID(int=1), msgspec.json.decode(kept, type=Snapshot))
        seen.append("ok" if market.book(at, GUARDS).prices else "jumped")
    assert seen[: SETTLE + 1] == ["jumped"] * (SETTLE + 1)
    assert seen[-1] == "ok"
    assert seen == sorted(seen)  # jumped, then ok, never back
    assert msgspec.json.decode(b'{"ticks":[],"before":{}}', type=Snapshot).levels == {}


def test_a_depegged_dollar_coin_that_settles_is_still_not_priced() -> None:
    """A jump that is believed does not lift the peg's guard."""
    low = 70 * USD_SCALE // 100
    before = {"USDT": Price(low, low)}
    ticks = [Tick(source, "USDT", low, low, NOW) for source in "ab"]
    assert build(ticks, NOW, GUARDS, before).stale == {"USDT": "off its peg"}
    before = {"USDT": Price(USD_SCALE, USD_SCALE)}
    assert build(ticks, NOW, GUARDS, before).stale == {"USDT": "jumped"}


@given(
    st.lists(
        st.builds(
            Tick,
            st.sampled_from("abcd"),
            st.just("BTC"),
            st.integers(0, 4 * USD_SCALE),
            st.integers(0, 4 * USD_SCALE),
            st.integers(NOW - 40_000, NOW + 10_000),
        ),
        max_size=8,
    )
)
def test_whatever_comes_in_a_price_is_backed_by_two_live_sources(ticks: list[Tick]) -> None:
    """A price has two sides in order, between what two live and sane sources said; else a reason."""
    book = build(ticks, NOW, GUARDS)
    assert set(book.prices) | set(book.stale) == {tick.coin for tick in ticks}
    for price in book.prices.values():
        near = [t for t in ticks if is_fresh(t, NOW, GUARDS) and is_sane(t, GUARDS)]
        assert len({tick.source for tick in near}) >= 2
        assert min(t.bid for t in near) <= price.bid <= price.ask <= max(t.ask for t in near)
    until = judged_until(ticks, NOW, GUARDS)
    assert build(ticks, min(until, NOW + 10**6) - 1, GUARDS) == book
