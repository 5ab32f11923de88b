"""The vault's own rates: asked from its own sources, never from the desk."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from swapdesk.rates.book import Book, Guards, Memory, Tick, build, remember
from swapdesk.rates.source import RateSource

#: Sources are asked at most this often; the book is judged anew at every use.
ASK_MS: Final = 1_000

log = structlog.get_logger("vault")


class OwnRates:
    """Newest ticks of every source. A source that is silent makes its prices stale, nothing else.

    The vault looks once a tick, so that the guard against jumps has something to compare with.
    """

    def __init__(self, sources: Sequence[RateSource], guards: Guards) -> None:
        self._sources = sources
        self._guards = guards
        self._ticks: tuple[Tick, ...] = ()
        self._memory = Memory()
        self._asked_ms = 0

    async def book(self, now_ms: int) -> Book:
        """What coins are worth at `now_ms`; those without a trustworthy price are missing."""
        if now_ms - self._asked_ms >= ASK_MS or now_ms < self._asked_ms:
            self._asked_ms = now_ms
            self._ticks = await self._ask(now_ms) or self._ticks
        book = build(self._ticks, now_ms, self._guards, self._memory.trusted)
        self._memory = remember(self._memory, book, now_ms, self._guards)
        return book

    async def close(self) -> None:
        """Let go of every source."""
        for source in self._sources:
            await source.close()

    async def _ask(self, now_ms: int) -> tuple[Tick, ...]:
        asked = (source.ticks(now_ms) for source in self._sources)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        ticks: list[Tick] = []
        for source, answer in zip(self._sources, answers, strict=True):
            if isinstance(answer, BaseException):
                log.warning("rate source failed", source=source.name, why=repr(answer))
            else:
                ticks += answer
        return tuple(ticks)
