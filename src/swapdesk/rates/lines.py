"""What comes through the pipe from `swapdesk rates`: judged line by line, nothing is believed.

The program on the other side runs a large library in another environment. Whatever it writes, the
reader stays small and exact: lines are cut at a length and counted per second, a price is a plain
decimal or nothing.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from swapdesk.money import BadAmount, ceil_div, floor_div, parse
from swapdesk.rates.book import PRICE_END

#: A tick takes about 130 bytes.
LINE_BYTES_MAX: Final = 1_024
#: Twenty sources with twenty coins in two currencies, four times a second, are 3,200.
LINES_PER_SECOND_MAX: Final = 5_000
#: Prices are read with 18 digits after the point and kept with the 12 of USD_SCALE.
_DIGITS_READ: Final = 18
_CUT: Final = 10**6


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line as it was written: a tick, or trouble."""

    source: str
    trouble: str | None = None
    coin: str = ""
    quote: str = ""
    bid: str = ""
    ask: str = ""
    sent_ms: int | None = None  #: the exchange's own stamp; told to people, trusted by nobody
    heard_ms: int = 0  #: CLOCK_BOOTTIME


class Cutter:
    """Cuts a stream of bytes into lines. Longer ones than LINE_BYTES_MAX are dropped whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self.dropped = 0

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that `chunk` completes, without their ends."""
        *ended, rest = (self._rest + chunk).split(b"\n")
        for line in ended:
            if self._skipping or len(line) > LINE_BYTES_MAX:
                self.dropped += 1
            elif line:
                yield line
            self._skipping = False
        if len(rest) > LINE_BYTES_MAX:
            self._skipping, rest = True, b""
        self._rest = rest


def read_line(raw: bytes) -> Line | None:
    """The line, or None when it is not one."""
    try:
        return msgspec.json.decode(raw, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sides(line: Line) -> tuple[int, int] | None:
    """Bid and ask in 1/USD_SCALE, the bid rounded down and the ask up; None if not two prices.

    Refuses zero, signs, exponents, NaN, more than 18 digits after the point, and what no
    coin is worth (PRICE_END).
    """
    try:
        bid = floor_div(parse(line.bid, _DIGITS_READ), _CUT)
        ask = ceil_div(parse(line.ask, _DIGITS_READ), _CUT)
    except BadAmount:
        return None
    return (bid, ask) if 0 < bid < PRICE_END and 0 < ask < PRICE_END else None
