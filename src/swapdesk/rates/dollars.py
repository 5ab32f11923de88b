"""Dollars out of dollars and tethers. Pure: what each market says, in; one tick per source, out.

Some exchanges quote in dollars, some only in USDT. A USDT price is converted at what USDT is worth
*now*, never at one dollar: at the same exchange's own USDT/USD market where it has a live one, else
at what the live USDT/USD markets of all sources agree on, with as many of them as a coin needs
(`Guards.sources_min`). Without either the source has no tick. So a depeg moves no coin's dollar
price, and USDT itself, priced from the same markets, disappears by the book's own guards.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from swapdesk.money import USD_SCALE, ceil_div, floor_div
from swapdesk.rates.book import PRICE_END, Guards, Tick, agreed, is_fresh, is_sane

USD: Final = "USD"
USDT: Final = "USDT"


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What one market said: a tick whose sides are in 1/USD_SCALE of its quote currency."""

    quote: str
    tick: Tick


def in_dollars(heard: Iterable[Heard], now_ms: int, guards: Guards) -> list[Tick]:
    """At most one tick per (source, coin), in dollars.

    A market in dollars goes first; one in USDT stands in for it while it is not live and sane. A
    converted tick is as old as the older of the two prices that it is made of, and its spread is
    the sum of both.
    """
    markets = {(each.tick.source, each.tick.coin, each.quote): each.tick for each in heard}
    tethers = {
        source: tick
        for (source, coin, quote), tick in markets.items()
        if (coin, quote) == (USDT, USD) and _live(tick, now_ms, guards)
    }
    common = _common(list(tethers.values()), now_ms, guards)
    ticks = []
    for source, coin in dict.fromkeys((source, coin) for source, coin, _ in markets):
        direct, quoted = markets.get((source, coin, USD)), markets.get((source, coin, USDT))
        tether = tethers.get(source, common)
        told = direct
        if quoted and tether and not (direct and _live(direct, now_ms, guards)):
            told = _converted(quoted, tether)
        if told is not None and max(told.bid, told.ask) < PRICE_END:
            ticks.append(told)
    return ticks


def _common(tethers: Sequence[Tick], now_ms: int, guards: Guards) -> Tick | None:
    """USDT/USD as the live markets agree on it, as old as the oldest of them."""
    found = agreed(tethers, now_ms, guards)
    if isinstance(found, str):
        return None
    oldest = min(tick.received_ms for tick in tethers)
    return Tick("agreed", USDT, found.price.bid, found.price.ask, oldest)


def _converted(quoted: Tick, tether: Tick) -> Tick:
    """The bid rounds down and the ask up: rounding widens the spread, in the desk's favour."""
    return Tick(
        quoted.source,
        quoted.coin,
        floor_div(quoted.bid * tether.bid, USD_SCALE),
        ceil_div(quoted.ask * tether.ask, USD_SCALE),
        min(quoted.received_ms, tether.received_ms),
    )


def _live(tick: Tick, now_ms: int, guards: Guards) -> bool:
    return is_fresh(tick, now_ms, guards) and is_sane(tick, guards)
