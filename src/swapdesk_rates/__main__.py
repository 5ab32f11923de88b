"""`swapdesk rates`: what exchanges say coins are worth, as JSON lines on standard output.

One file that needs ccxt and the standard library, nothing of ours: ccxt pins packages that the
desk and the vault use in other versions, so it lives in its own environment (.venv-rates) and its
own process. A line is a tick, or the trouble of a source:

    {"source":"kraken","coin":"BTC","quote":"USD","bid":"62000.1","ask":"62000.2",
     "sent_ms":1795000000000,"heard_ms":81234}
    {"source":"okx","trouble":"ExchangeNotAvailable: ..."}

`bid` and `ask` are plain decimals in `quote` per whole coin, with the digits that the exchange
sent; `sent_ms` is the exchange's own time stamp, null where it gives none; `heard_ms` is when we
heard it on CLOCK_BOOTTIME, which all processes of a machine share and nobody can set.

Every source is polled over REST; where the exchange has a public WebSocket it is listened to as
well and polled more slowly, because a quiet market sends nothing and must not look dead. The
program ends when its reader closes the pipe or its parent dies.

Before the library is loaded the process shuts itself in (`cage`): the vault starts it as its own
user, and whatever comes with ccxt must not read a key, write a file or touch another process.
"""

import argparse
import asyncio
import ctypes
import json
import os
import select
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

#: Quote currencies that are listened to; the reader turns them into dollars.
QUOTES: Final = ("USD", "USDT")
#: Ticks of one market that come faster than this are one line, the newest.
WRITE_SECONDS: Final = 0.25
#: While the WebSocket speaks, REST is asked this many times more rarely.
CALM: Final = 3
#: A WebSocket that is silent for this long is opened anew.
SILENCE_SECONDS: Final = 60.0
#: Waiting after trouble: doubled from the first to the last.
BACKOFF_SECONDS: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 60.0
#: Failed polls in a row after which a source begins again: perhaps its list of markets changed.
POLL_FAILURES_MAX: Final = 3
REQUEST_MS_MAX: Final = 10_000
TROUBLE_CHARS_MAX: Final = 200
#: A price has at most this many digits and is between 10**-15 and 10**15.
DIGITS_MAX: Final = 30
MAGNITUDE_MAX: Final = 15

#: What differs between exchanges: only spot markets are loaded, channels that carry both sides.
CONFIG: Final[Mapping[str, dict[str, Any]]] = {
    "binance": {
        "fetchMarkets": {"types": ["spot"]},
        "fetchMargins": False,
        "watchTickers": {"name": "ticker"},
    },
    "okx": {"fetchMarkets": {"types": ["spot"]}},
}
#: How REST is asked where `fetch_tickers` has no bid and ask; "each" asks market by market.
POLL: Final = {"binance": "fetch_bids_asks", "coinbase": "each"}
#: How a WebSocket is listened to where it is not `watch_tickers`: Kraken's tickers come with trades
#: only, unless they are asked for whenever the best bid or ask changes.
WATCH: Final = {"kraken": "watch_bids_asks"}

#: What may be read once shut in: Python, the library, and what finding and trusting hosts needs.
READABLE: Final = (
    *(sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/dev/null", "/dev/urandom"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/ld.so.cache"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
    *("/run/systemd/resolve", "/etc/localtime", "/etc/mime.types"),
)
#: linux/landlock.h and prctl(2).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
#: Version -> how many kinds of access to files it can forbid.
_KINDS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_KINDS_MAX: Final = 16
#: From this version on it also keeps us from signalling others and from their abstract sockets.
_SCOPED, _SCOPES = 6, 3


class NothingListed(Exception):
    """The exchange lists none of our coins."""


def plain(value: object) -> str | None:
    """A price as a plain decimal with every digit it came with; None when it is none.

    Refuses NaN, infinities, zero, negative numbers and absurd sizes, before anything is expanded.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > MAGNITUDE_MAX:
        return None
    return format(number, "f") if len(number.as_tuple().digits) <= DIGITS_MAX else None


class Pen:
    """Writes lines. Between two strokes only the newest tick of each market is kept."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], str] = {}

    def tick(self, source: str, symbol: str, ticker: Mapping[str, Any]) -> bool:
        """Note a ticker as ccxt gives it; False when it has no two usable sides."""
        bid, ask = plain(ticker.get("bid")), plain(ticker.get("ask"))
        if bid is None or ask is None:
            return False
        coin, _, quote = symbol.partition("/")
        sent = ticker.get("timestamp")
        words: dict[str, Any] = {"source": source, "coin": coin, "quote": quote}
        words |= {"bid": bid, "ask": ask}
        words |= {"sent_ms": sent if isinstance(sent, int) else None, "heard_ms": heard_ms()}
        self._lines[source, symbol] = json.dumps(words, separators=(",", ":"))
        return True

    def trouble(self, source: str, why: BaseException) -> None:
        """Note why a source is silent."""
        said = f"{type(why).__name__}: {why}"[:TROUBLE_CHARS_MAX]
        self._lines[source, ""] = json.dumps({"source": source, "trouble": said})

    async def write(self) -> None:
        """Write for ever. A slow reader makes us wait, and finds the newest afterwards."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            lines, self._lines = self._lines, {}
            if lines:
                sys.stdout.write("\n".join(lines.values()) + "\n")
                sys.stdout.flush()


class Source:
    """One exchange, asked and listened to until the program ends."""

    def __init__(
        self, name: str, coins: Sequence[str], url: str | None, poll_seconds: float, pen: Pen
    ) -> None:
        """`url` replaces the exchange's own hosts: a test's replay server, a mirror."""
        self.name = name
        self._wanted = [f"{coin}/{quote}" for coin in coins for quote in QUOTES if coin != quote]
        self._url = url
        self._poll_seconds = poll_seconds
        self._pen = pen
        self._listening = False

    async def run(self) -> None:
        """For ever. Whatever a library of a hundred exchanges raises is this source's trouble."""
        pause = BACKOFF_SECONDS
        while True:
            exchange = self._open()
            try:
                symbols = await self._listed(exchange)
                pause = BACKOFF_SECONDS
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._poll(exchange, symbols))
                    tasks.create_task(self._watch(exchange, symbols))
                    tasks.create_task(self._note(exchange, symbols))
            except Exception as trouble:  # noqa: BLE001 - see above
                self._pen.trouble(self.name, _first(trouble))
            finally:
                with suppress(Exception):
                    await exchange.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    def _open(self) -> Any:
        import ccxt.pro  # noqa: PLC0415 - more than a hundred exchanges; `--help` and the leash need none

        exchange = getattr(ccxt.pro, self.name)(
            {
                "timeout": REQUEST_MS_MAX,
                "options": CONFIG.get(self.name, {}),
                "aiohttp_trust_env": self._url is None,
            }
        )
        exchange.number = str  # digits as they came, no float
        exchange.newUpdates = False
        exchange.has["fetchCurrencies"] = False
        if self._url is not None:
            exchange.urls["api"] = _moved(exchange.urls["api"], self._url.rstrip("/"))
        return exchange

    async def _listed(self, exchange: Any) -> list[str]:
        markets = await exchange.load_markets()
        listed = [
            symbol
            for symbol in self._wanted
            if (market := markets.get(symbol)) and market["spot"] and market["active"] is not False
        ]
        if not listed:
            raise NothingListed("lists none of our coins")
        return listed

    async def _poll(self, exchange: Any, symbols: list[str]) -> None:
        """Ask over REST again and again; raises after POLL_FAILURES_MAX failures in a row."""
        failures = 0
        while True:
            try:
                if not await self._ask(exchange, symbols):
                    raise NothingListed("no market has a bid and an ask")  # noqa: TRY301 - counts like the rest
                failures = 0
            except Exception as trouble:
                failures += 1
                if failures == POLL_FAILURES_MAX:
                    raise
                self._pen.trouble(self.name, trouble)
            await asyncio.sleep(self._poll_seconds * (CALM if self._listening else 1))

    async def _ask(self, exchange: Any, symbols: list[str]) -> int:
        """One round over REST; how many markets had two sides. Each answer is told at once."""
        how = POLL.get(self.name, "fetch_tickers")
        if how == "each":
            return sum([self._tell(each, await exchange.fetch_ticker(each)) for each in symbols])
        tickers = await getattr(exchange, how)(symbols)
        return sum(self._tell(each, tickers.get(each)) for each in symbols)

    async def _watch(self, exchange: Any, symbols: list[str]) -> None:
        """Keep the WebSocket open and subscribed, where there is one."""
        if not exchange.has["watchTickers"]:
            return
        listen = getattr(exchange, WATCH.get(self.name, "watch_tickers"))
        pause = BACKOFF_SECONDS
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await listen(symbols)
                pause = BACKOFF_SECONDS
            except Exception as trouble:  # noqa: BLE001 - see run
                self._listening = False
                self._pen.trouble(self.name, trouble)
                with suppress(Exception):
                    await exchange.close_ws_clients()
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    async def _note(self, exchange: Any, symbols: list[str]) -> None:
        """Tell what the WebSocket brought since the last look, and nothing twice.

        ccxt keeps the last ticker of every market. Only another object than before was heard just
        now; anything else would make an old price look fresh.
        """
        known: dict[str, Any] = {}
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            for symbol in symbols:
                ticker = exchange.tickers.get(symbol)
                if ticker is not known.get(symbol):
                    known[symbol] = ticker
                    self._listening = self._tell(symbol, ticker) or self._listening

    def _tell(self, symbol: str, ticker: Mapping[str, Any] | None) -> bool:
        return ticker is not None and self._pen.tick(self.name, symbol, ticker)


def heard_ms() -> int:
    """Milliseconds since the machine started, on the clock that all its processes share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def _first(trouble: BaseException) -> BaseException:
    """What a task group is about."""
    while isinstance(trouble, BaseExceptionGroup):
        trouble = trouble.exceptions[0]
    return trouble


def _moved(urls: Any, base: str) -> Any:
    """ccxt's tree of URLs with every scheme and host replaced by those of `base`."""
    if isinstance(urls, dict):
        return {key: _moved(url, base) for key, url in urls.items()}
    parts = urlsplit(urls)
    new = base.replace("http", "ws", 1) if parts.scheme.startswith("ws") else base
    return new + parts.path


def cage() -> bool:
    """Give up, for ever: every file but READABLE, all writing, other processes, new privileges.

    Linux does it since 5.13 (Landlock); False on a kernel that does not. Sockets and the pipes
    that are open stay. Only for a process of one thread: others would stay outside.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    rules = [(1 << _KINDS.get(version, _KINDS_MAX)) - 1]
    if version >= _SCOPED:
        rules += [0, _SCOPES]
    packed = struct.pack(f"={len(rules)}Q", *rules)
    ruleset = libc.syscall(_CREATE_RULESET, packed, len(packed), 0)
    for path in READABLE:
        with suppress(FileNotFoundError):
            place = os.open(path, os.O_PATH)
            folder = _READ_DIR if os.path.isdir(path) else 0  # noqa: PTH112 - it is a path already
            beneath = struct.pack("=Qi", _READ_FILE | _EXECUTE | folder, place)
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, beneath, 0)
            os.close(place)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(_RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock")
    os.close(ruleset)
    return True


def leash() -> None:
    """End this process when its reader is gone or whoever holds its standard input died.

    Waits for hang-ups only, so a terminal, a file and /dev/null hold it as well as a pipe does.
    """
    ends = select.poll()
    for end in (0, 1):
        with suppress(OSError):
            os.fstat(end)
            ends.register(end, 0)
    ends.poll()
    os._exit(0)


async def run(sources: Sequence[Source], pen: Pen) -> None:
    """Ask every source until the program ends."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pen.write())
        for source in sources:
            tasks.create_task(source.run())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swapdesk rates", description="What coins are worth, as JSON lines."
    )
    add = parser.add_argument
    add("--source", action="append", required=True, help="an exchange as ccxt names it; repeat")
    add("--coin", action="append", required=True, help="a ticker such as BTC; repeat")
    add("--poll", type=float, default=5.0, help="seconds between two REST rounds (5)")
    add("--url", action="append", default=[], metavar="SOURCE=URL", help="other hosts for a source")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run until the reader or the parent is gone."""
    told = _arguments(argv)
    if not cage():
        sys.stderr.write("swapdesk rates: this kernel has no Landlock; run it as another user\n")
    threading.Thread(target=leash, name="leash", daemon=True).start()
    urls = dict(each.split("=", 1) for each in told.url)
    import ccxt.pro  # noqa: PLC0415 - see Source._open

    if unknown := set(told.source) - set(ccxt.pro.exchanges):
        sys.exit(f"swapdesk rates: ccxt knows no exchange {', '.join(sorted(unknown))}")
    pen = Pen()
    sources = [Source(name, told.coin, urls.get(name), told.poll, pen) for name in told.source]
    asyncio.run(run(sources, pen))


if __name__ == "__main__":
    main()
