"""Prices written by hand: for the dev world only, labelled "fixed" wherever a source is named."""

from collections.abc import Mapping

from swapdesk.money import USD_SCALE, parse
from swapdesk.rates.book import Tick


class FixedSource:
    """A rate source that always says the same. Refused outside the dev world (settings)."""

    name = "fixed"

    def __init__(self, prices: Mapping[str, str]) -> None:
        """`prices`: coin -> plain decimal dollars, {"BTC": "62000.50"}. BadAmount if not."""
        digits = len(str(USD_SCALE)) - 1
        self._prices = {coin: parse(text, digits) for coin, text in prices.items()}

    async def ticks(self, now_ms: int) -> list[Tick]:
        """One tick per coin, received now."""
        return [Tick(self.name, coin, p, p, now_ms) for coin, p in self._prices.items()]

    async def close(self) -> None:
        """Nothing is held."""
