"""The vault's own rates: asked from its own sources, never from the desk."""

from collections.abc import Mapping, Sequence
from typing import Final

from swapdesk.rates.book import Book, Guards, Price, Tick, build
from swapdesk.rates.source import RateSource

#: Sources are asked at most this often; the book is judged anew at every use.
ASK_MS: Final = 1_000


class OwnRates:
    """Newest ticks of every source. A source that fails makes its prices stale, nothing else."""

    def __init__(self, sources: Sequence[RateSource], guards: Guards) -> None:
        self._sources = sources
        self._guards = guards
        self._ticks: tuple[Tick, ...] = ()
        self._trusted: Mapping[str, Price] = {}
        self._asked_ms = 0

    async def book(self, now_ms: int) -> Book:
        """What coins are worth at `now_ms`; those without a trustworthy price are missing."""
        if now_ms - self._asked_ms >= ASK_MS or now_ms < self._asked_ms:
            self._asked_ms = now_ms
            fresh: list[Tick] = []
            for source in self._sources:
                fresh += await source.ticks(now_ms)
            self._ticks = tuple(fresh) or self._ticks
        book = build(self._ticks, now_ms, self._guards, self._trusted)
        self._trusted = {**self._trusted, **book.prices}
        return book
