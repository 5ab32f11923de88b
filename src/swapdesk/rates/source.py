"""Where ticks come from: one method, so that a new source is one file."""

from typing import Protocol

from swapdesk.rates.book import Tick


class RateSource(Protocol):
    """Anything that can say what coins are worth right now."""

    name: str

    async def ticks(self, now_ms: int) -> list[Tick]:
        """The newest tick per coin, stamped with the time of receipt; may be empty."""
        ...

    async def close(self) -> None:
        """Let go of whatever it holds; it is not asked again."""
        ...
