"""The market: prices of real exchanges, from a child process that runs `swapdesk rates`.

Worker and vault each start a child of their own and never share a rate. The child lives in its own
environment, gets no secret in its environment variables, and dies with us: its standard input is a
pipe that closes when we end, however we end. When it dies it is started again; meanwhile prices
grow old and the book stops believing them.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from swapdesk.rates.book import Guards, Tick
from swapdesk.rates.dollars import USD, USDT, Heard, in_dollars
from swapdesk.rates.lines import LINES_PER_SECOND_MAX, Cutter, Line, read_line, sides

#: The program; it stands beside our own package.
PROGRAM: Final = Path(__file__).parents[2] / "swapdesk_rates" / "__main__.py"
#: What the child may know of our environment: how to reach the internet, nothing else.
ENVIRONMENT: Final = (
    *("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
#: Waiting before the child is started again: doubled from the first to the last, and back to the
#: first after it has run for STEADY_SECONDS.
BACKOFF_SECONDS: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 60.0
STEADY_SECONDS: Final = 60.0
#: A child without a single price for this long is started anew: it hangs, or its view of the
#: machine is too old (the resolver's file was replaced, say).
SILENCE_SECONDS: Final = 180.0
#: Lines older than this are not even kept.
AGE_MS_MAX: Final = 3_600_000
#: How long a child may take to end once its standard input is closed.
FAREWELL_SECONDS: Final = 2.0
CHUNK_BYTES: Final = 65_536
#: How much of what it said last belongs into the log.
LAST_WORDS_BYTES: Final = 2_000

log = structlog.get_logger()


class MarketSetup(msgspec.Struct, frozen=True):
    """Whom to ask for what, and how the program is started."""

    sources: Sequence[str]  #: exchanges, as ccxt names them
    coins: Sequence[str]
    guards: Guards
    python: Sequence[str]  #: the Python of the rates environment, with whatever runs it
    urls: Mapping[str, str] = {}  #: other hosts per source, for tests and mirrors

    def argv(self) -> list[str]:
        """The command line of the child. REST is polled six times within the age of a price."""
        words = [*self.python, "-I", str(PROGRAM)]
        words += ["--poll", str(max(self.guards.age_ms_max // 6, 100) / 1000)]
        for flag, values in (("--source", self.sources), ("--coin", self.coins)):
            words += [word for value in values for word in (flag, value)]
        return words + [
            word for name, url in self.urls.items() for word in ("--url", f"{name}={url}")
        ]


def default_python() -> list[str]:
    """`make rates` puts the environment beside ours: .venv-rates next to .venv."""
    return [str(Path(sys.prefix).parent / ".venv-rates" / "bin" / "python")]


class MarketSource:
    """The newest ticks of all exchanges; the child starts when it is first asked."""

    name = "market"

    def __init__(self, setup: MarketSetup) -> None:
        self._setup = setup
        self._heard: dict[tuple[str, str, str], tuple[Line, int, int]] = {}
        self._wanted = {
            (source, coin, quote)
            for source in setup.sources
            for coin in setup.coins
            for quote in (USD, USDT)
        }
        self._troubles: dict[str, str] = {}
        self._priced_at = 0.0  #: loop time of the last price
        self._keeper: asyncio.Task[None] | None = None
        self._second = (0, 0)  #: of the boot clock, and lines heard in it
        self.pid: int | None = None  #: of the child, None between two of them
        self.ignored = 0  #: lines that were not believed

    async def ticks(self, now_ms: int) -> list[Tick]:
        """The newest tick per exchange and coin in dollars, however old it is."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="rates program")
        elif self._keeper.done():
            self._keeper.result()
        at = boot_ms()
        heard = [
            Heard(line.quote, Tick(line.source, line.coin, bid, ask, now_ms - (at - line.heard_ms)))
            for line, bid, ask in self._heard.values()
        ]
        return in_dollars(heard, now_ms, self._setup.guards)

    async def close(self) -> None:
        """End the child."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        """Run one child after the other, for ever."""
        loop, pause = asyncio.get_running_loop(), BACKOFF_SECONDS
        while True:
            started = loop.time()
            try:
                await self._run_child()
            except OSError as why:
                log.error("the rates program does not start", why=str(why))  # noqa: TRY400 - the text says it all
            if loop.time() - started > STEADY_SECONDS:
                pause = BACKOFF_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    async def _run_child(self) -> None:
        """Start a child and listen until it ends or we are cancelled. OSError if it cannot start."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._setup.argv(),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C reaches us; we tell the child
        )
        assert child.stdout
        assert child.stderr
        self.pid = child.pid
        last_words = asyncio.create_task(_last_words(child.stderr))
        try:
            await self._listen(child.stdout)
        finally:
            self.pid = None
            await _end(child)
            said = await last_words
        log.warning("the rates program ended", status=child.returncode, said=said)

    async def _listen(self, pipe: asyncio.StreamReader) -> None:
        """Until the child ends, or brings no price for SILENCE_SECONDS."""
        cutter, loop = Cutter(), asyncio.get_running_loop()
        self._priced_at = loop.time()
        while (wait := self._priced_at + SILENCE_SECONDS - loop.time()) > 0:
            try:
                async with asyncio.timeout(wait):
                    chunk = await pipe.read(CHUNK_BYTES)
            except TimeoutError:
                break
            if not chunk:
                break
            dropped = cutter.dropped
            for raw in cutter.cut(chunk):
                self._hear(raw)
            self.ignored += cutter.dropped - dropped

    def _hear(self, raw: bytes) -> None:
        """Believe a line, or count it as ignored."""
        at = boot_ms()
        second, count = self._second
        self._second = (second, count + 1) if second == at // 1000 else (at // 1000, 1)
        line = read_line(raw) if self._second[1] <= LINES_PER_SECOND_MAX else None
        if line is None or not (self._told_trouble(line) or self._told_price(line, at)):
            self.ignored += 1

    def _told_trouble(self, line: Line) -> bool:
        """Log the trouble of a source of ours, once until it changes or prices come again."""
        if line.trouble is None or line.source not in self._setup.sources:
            return False
        if self._troubles.get(line.source) != line.trouble:
            self._troubles[line.source] = line.trouble
            log.warning("a rate source is in trouble", source=line.source, why=line.trouble)
        return True

    def _told_price(self, line: Line, at: int) -> bool:
        """Keep a price of a market of ours; False for anything else."""
        market, prices = (line.source, line.coin, line.quote), sides(line)
        if market not in self._wanted or prices is None:
            return False
        if not 0 <= at - line.heard_ms <= AGE_MS_MAX:
            return False
        self._heard[market] = (line, *prices)
        self._priced_at = asyncio.get_running_loop().time()
        self._troubles.pop(line.source, None)
        return True


def boot_ms() -> int:
    """Milliseconds since the machine started, sleep included: the clock that the child stamps with.

    Ages are measured on it and not by when we read a line: what waited in the pipe while we stood
    still is as old as it is.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


async def _last_words(pipe: asyncio.StreamReader) -> str:
    """The end of what the child said on standard error, which is always being read."""
    words = b""
    while chunk := await pipe.read(CHUNK_BYTES):
        words = (words + chunk)[-LAST_WORDS_BYTES:]
    return words.decode(errors="replace").strip()


async def _end(child: asyncio.subprocess.Process) -> None:
    """Close its standard input, and kill it when that is not enough."""
    assert child.stdin
    child.stdin.close()
    try:
        async with asyncio.timeout(FAREWELL_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
