"""The book: pure. Ticks in; one trustworthy USD price per coin, or the reason there is none.

Age is judged by *receipt* time when the book is used, so a dead source or a dead worker makes
prices stale, never frozen. A coin whose price cannot be trusted disappears; nothing is guessed.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from swapdesk.assets import Asset
from swapdesk.money import BPS, Rate

#: Ticks one snapshot may hold; more is a broken source.
TICKS_MAX: Final = 5_000
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
    jump_bps_max: int = 2_000  #: further from the previous snapshot: the coin is stale
    peg_bps_max: int = 300  #: a stablecoin further from a dollar is not priced


#: Coins that claim to be a dollar.
STABLE: Final = frozenset({"USDT", "USDC", "DAI"})


class Price(msgspec.Struct, frozen=True, gc=False):
    """A trusted price of one coin, in 1/USD_SCALE dollars per whole coin."""

    bid: int
    ask: int


class Book(msgspec.Struct, frozen=True):
    """Trusted prices at one instant, and why the other coins have none."""

    prices: Mapping[str, Price]
    stale: Mapping[str, str]

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
    for coin, sources in by_coin.items():
        before = (previous or {}).get(coin)
        judged = _judge(coin, list(sources.values()), now_ms, guards, before)
        if isinstance(judged, Price):
            prices[coin] = judged
        else:
            stale[coin] = judged
    return Book(prices, stale)


def _judge(
    coin: str, ticks: list[Tick], now_ms: int, guards: Guards, before: Price | None
) -> Price | str:
    """One coin's price, or in words why it has none."""
    fresh = [t for t in ticks if -CLOCK_SKEW_MS <= now_ms - t.received_ms <= guards.age_ms_max]
    if len(fresh) < guards.sources_min:
        return "stale"
    sane = [
        t for t in fresh if 0 < t.bid <= t.ask and _apart(t.bid, t.ask) <= guards.spread_bps_max
    ]
    if len(sane) < guards.sources_min:
        return "crossed or wide"
    middle = _median([t.bid + t.ask for t in sane])
    kept = [t for t in sane if _apart(t.bid + t.ask, middle) <= guards.outlier_bps_max]
    if len(kept) < guards.sources_min:
        return "sources disagree"
    price = Price(_median([t.bid for t in kept]), _median([t.ask for t in kept]))
    if before is not None and _apart(price.bid, before.bid) > guards.jump_bps_max:
        return "jumped"
    if coin in STABLE and _apart(price.bid, 10**12) > guards.peg_bps_max:
        return "off its peg"
    return price


def _median(values: list[int]) -> int:
    """The middle value; of two middle ones the lower, so that no half units arise."""
    return sorted(values)[(len(values) - 1) // 2]


def _apart(a: int, b: int) -> int:
    """How far `a` is from `b` in basis points of the smaller, rounded up."""
    low = min(a, b)
    return -(-abs(a - b) * BPS // low) if low > 0 else BPS * BPS
