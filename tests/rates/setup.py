"""What the tests of rates share: guards, coins, waiting for a condition."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from swapdesk.money import USD_SCALE
from swapdesk.rates.book import Guards, Tick
from swapdesk.rates.market import MarketSource, default_python

#: A loaded machine imports ccxt in a few seconds.
DEADLINE_SECONDS: Final = 60.0
NOW: Final = 1_800_000_000_000
COINS: Final = ("BTC", "ETH", "USDT", "XMR")
GUARDS: Final = Guards(age_ms_max=6_000, sources_min=2)


def rates_python() -> list[str] | None:
    """The Python of .venv-rates beside the environment that runs the tests."""
    python = default_python()
    return python if Path(python[0]).exists() else None


async def until(source: MarketSource, holds: Callable[[dict[str, Tick]], bool]) -> dict[str, Tick]:
    """Ask until `holds` of "source coin" -> tick; fails after DEADLINE_SECONDS."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_SECONDS
    while True:
        ticks = {f"{tick.source} {tick.coin}": tick for tick in await source.ticks(NOW)}
        if holds(ticks):
            return ticks
        assert loop.time() < deadline, ticks
        await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def usd(text: str) -> int:
    """Dollars with at most 12 digits after the point, in 1/USD_SCALE."""
    whole, _, fraction = text.partition(".")
    return int(whole) * USD_SCALE + int(fraction.ljust(12, "0"))


def fake(tmp_path: Path, code: str) -> list[str]:
    """A stand-in for the environment: `code` runs instead of the program."""
    script = tmp_path / "child.py"
    script.write_text(code)
    return [sys.executable, "-c", f"import runpy; runpy.run_path({str(script)!r})"]
