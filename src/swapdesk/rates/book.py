"""The book: pure. Ticks in; one trustworthy USD price per coin, or the reason there is none.

Age is judged by *receipt* time when the book is used, so a dead source or a dead worker makes
prices stale, never frozen. A coin whose price cannot be trusted disappears; nothing is guessed.
It comes back by itself: as soon as its sources are live, sane and agree, and after a jump when the
new level has settled (`remember`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from swapdesk.assets import Asset
from swapdesk.money import BPS, USD_SCALE, Rate

#: Ticks one snapshot may hold; more is a broken source.
TICKS_MAX: Final = 5_000
#: Prices are below this, nine million dollars a coin; what is above is broken.
PRICE_END: Final = 2**63
#: Later than any clock of ours.
FOR_EVER_MS: Final = 2**63
#: A tick from further in the future than this is a broken clock.
CLOCK_SKEW_MS: Final = 5_000


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One source's two sides for one coin, in 1/USD_SCALE dollars per whole coin."""

    source: str
    coin: str  #: ticker, "BTC"
    bid: int  #: what others pay for one coin
    ask: int  #: what others want for one coin
    received_ms: int  #: when we received it, by our own clock


class Guards(msgspec.Struct, frozen=True):
    """When a price is not to be trusted."""

    age_ms_max: int = 30_000  #: older ticks do not count
    sources_min: int = 1  #: live sources a coin needs; `main` needs two
    spread_bps_max: int = 300  #: a wider bid/ask is a thin or broken market
    outlier_bps_max: int = 200  #: further from the median of all sources: dropped
    jump_bps_max: int = 2_000  #: further from the last trusted price: not believed at once
    settle_ms: int = 600_000  #: a new level that every live source confirms this long is believed
    settle_bps_max: int = 500  #: moves further than this while it settles: it begins anew
    peg_bps_max: int = 300  #: a stablecoin further from a dollar is not priced


#: Coins that claim to be a dollar.
STABLE: Final = frozenset({"USDT", "USDC", "DAI"})


class Price(msgspec.Struct, frozen=True, gc=False):
    """A trusted price of one coin, in 1/USD_SCALE dollars per whole coin."""

    bid: int
    ask: int


class Level(msgspec.Struct, frozen=True, gc=False):
    """A price that jumped and is not believed yet, though every live source tells it."""

    price: Price  #: when it was first seen
    since_ms: int
    seen_ms: int


class Memory(msgspec.Struct, frozen=True):
    """What the jump guard remembers from look to look, per coin."""

    trusted: Mapping[str, Price] = {}
    levels: Mapping[str, Level] = {}


class Book(msgspec.Struct, frozen=True):
    """Trusted prices at one instant, and why the other coins have none."""

    prices: Mapping[str, Price]
    stale: Mapping[str, str]
    jumped: Mapping[str, Price] = {}  #: not believed, yet no live source contradicts

    def usd_price(self, asset: Asset) -> int | None:
        """Bid of the asset's coin in 1/USD_SCALE dollars per whole coin; None when stale."""
        price = self.prices.get(asset.coin)
        return price.bid if price else None

    def rate(self, src: Asset, dst: Asset) -> Rate | None:
        """The gross rate: the desk takes `src` at its bid and gives `dst` at its ask."""
        sold, bought = self.prices.get(src.coin), self.prices.get(dst.coin)
        if sold is None or bought is None:
            return None
        if src.coin == dst.coin:
            return Rate(src.code, dst.code, 10**dst.decimals, 10**src.decimals)
        return Rate(src.code, dst.code, sold.bid * 10**dst.decimals, bought.ask * 10**src.decimals)


class Agreed(msgspec.Struct, frozen=True, gc=False):
    """What live, sane sources say of one coin."""

    price: Price
    unanimous: bool  #: no live source was dropped


def build(
    ticks: Iterable[Tick], now_ms: int, guards: Guards, previous: Mapping[str, Price] | None = None
) -> Book:
    """Judge `ticks` at `now_ms`. `previous` are the trusted prices before, for the jump guard."""
    by_coin: dict[str, dict[str, Tick]] = {}
    for tick in ticks:
        sources = by_coin.setdefault(tick.coin, {})
        known = sources.get(tick.source)
        if known is None or tick.received_ms > known.received_ms:
            sources[tick.source] = tick
    prices: dict[str, Price] = {}
    stale: dict[str, str] = {}
    jumped: dict[str, Price] = {}
    for coin, sources in by_coin.items():
        found = agreed(sources.values(), now_ms, guards)
        before = (previous or {}).get(coin)
        if isinstance(found, str):
            stale[coin] = found
        elif before and _apart(found.price.bid, before.bid) > guards.jump_bps_max:
            stale[coin] = "jumped"
            if found.unanimous:
                jumped[coin] = found.price
        elif coin in STABLE and _apart(found.price.bid, USD_SCALE) > guards.peg_bps_max:
            stale[coin] = "off its peg"
        else:
            prices[coin] = found.price
    return Book(prices, stale, jumped)


def judged_until(ticks: Sequence[Tick], now_ms: int, guards: Guards) -> int:
    """Until when (exclusive) `build` at `now_ms` says the same: a tick comes or ceases to count.

    Without any such tick it is for ever, which is a very large number.
    """
    ends = [tick.received_ms + guards.age_ms_max + 1 for tick in ticks]
    begins = [tick.received_ms - CLOCK_SKEW_MS for tick in ticks]
    return min((at for at in (*ends, *begins) if at > now_ms), default=FOR_EVER_MS)


def remember(memory: Memory, book: Book, now_ms: int, guards: Guards) -> Memory:
    """What the jump guard knows after one more look at the market.

    A jump is not believed at once, and not refused for ever: when every live source has told the
    new level in every look for `settle_ms`, it becomes the trusted price. A look in between that
    is missing (longer than `age_ms_max`), stale, contradicted or further than `settle_bps_max`
    from where the level began makes the waiting begin anew.
    """
    trusted, levels = {**memory.trusted, **book.prices}, {}
    for coin, price in book.jumped.items():
        level = memory.levels.get(coin)
        if (
            level is None
            or now_ms - level.seen_ms > guards.age_ms_max
            or _apart(price.bid, level.price.bid) > guards.settle_bps_max
        ):
            level = Level(price, now_ms, now_ms)
        if now_ms - level.since_ms >= guards.settle_ms:
            trusted[coin] = price
        else:
            levels[coin] = msgspec.structs.replace(level, seen_ms=now_ms)
    return Memory(trusted, levels)


def agreed(ticks: Iterable[Tick], now_ms: int, guards: Guards) -> Agreed | str:
    """What the sources of one coin (a tick each) agree on, or in words why they do not."""
    fresh = [tick for tick in ticks if is_fresh(tick, now_ms, guards)]
    if len(fresh) < guards.sources_min:
        return "stale"
    sane = [tick for tick in fresh if is_sane(tick, guards)]
    if len(sane) < guards.sources_min:
        return "crossed or wide"
    middle = _median([t.bid + t.ask for t in sane])
    kept = [t for t in sane if _apart(t.bid + t.ask, middle) <= guards.outlier_bps_max]
    if len(kept) < guards.sources_min:
        return "sources disagree"
    price = Price(_median([t.bid for t in kept]), _median([t.ask for t in kept]))
    return Agreed(price, len(kept) == len(fresh))


def is_fresh(tick: Tick, now_ms: int, guards: Guards) -> bool:
    """Received lately, by our own clock."""
    return -CLOCK_SKEW_MS <= now_ms - tick.received_ms <= guards.age_ms_max


def is_sane(tick: Tick, guards: Guards) -> bool:
    """Two sides, not crossed, not too far apart."""
    return 0 < tick.bid <= tick.ask and _apart(tick.bid, tick.ask) <= guards.spread_bps_max


def _median(values: list[int]) -> int:
    """The middle value; of two middle ones the lower, so that no half units arise."""
    return sorted(values)[(len(values) - 1) // 2]


def _apart(a: int, b: int) -> int:
    """How far `a` is from `b` in basis points of the smaller, rounded up."""
    low = min(a, b)
    return -(-abs(a - b) * BPS // low) if low > 0 else BPS * BPS
