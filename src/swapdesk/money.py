"""Money: integers of minor units, exact rates, every rounding named.

Text becomes units at the door (`parse`, `from_wire`) and text again at the door (`show`). In
between there is no float, no `/` and no `round()`; where something does not divide evenly, the
name of the function says who gains: the desk, always.
"""

from decimal import Decimal
from typing import Final

import msgspec

#: Longest amount we read, in characters. 10**40 whole coins is more than any chain holds.
AMOUNT_CHARS_MAX: Final = 64
#: Digits after the point that any asset has (ether: 18). More are refused, not cut in silence.
FRACTION_DIGITS_MAX: Final = 18
#: Largest number of minor units that the books accept; the `units` domain says the same.
UNITS_END: Final = 10**78
#: US dollars are counted in these: 10**12 to the dollar, fine enough for one unit of any asset.
USD_SCALE: Final = 10**12
#: Basis points in the whole.
BPS: Final = 10_000


class BadAmount(ValueError):
    """The text is not an amount: a sign, an exponent, NaN, too long, too fine."""


def parse(text: str, decimals: int) -> int:
    """Minor units of a plain decimal such as "0.015"; digits beyond `decimals` are cut off.

    Cutting rounds down, in the desk's favour: the customer is credited with no more than written.
    Refuses signs, exponents, NaN, blanks and anything longer than AMOUNT_CHARS_MAX (BadAmount).
    """
    if len(text) > AMOUNT_CHARS_MAX:
        raise BadAmount("amount is too long")
    whole, point, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (point and not _digits(fraction)):
        raise BadAmount("amount is not a plain decimal number")
    if len(fraction) > FRACTION_DIGITS_MAX:
        raise BadAmount("amount has too many digits after the point")
    scale: int = 10**decimals
    return int(whole) * scale + int((fraction + "0" * decimals)[:decimals] or "0")


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def from_wire(value: Decimal | str, decimals: int) -> int:
    """Minor units of an amount as it stood in JSON, written 0.1 or "0.1".

    msgspec hands over the exact digits of a JSON number, but also "1e999999": the size is bounded
    before anything is expanded. Raises BadAmount like `parse`.
    """
    if isinstance(value, str):
        return parse(value, decimals)
    if not value.is_finite():
        raise BadAmount("amount is not finite")
    if abs(value.adjusted()) > AMOUNT_CHARS_MAX:
        raise BadAmount("amount is out of range")
    return parse(format(value, "f"), decimals)


def show(units: int, decimals: int) -> str:
    """A plain decimal padded to the asset's digits: show(1500000, 8) == "0.01500000"."""
    if units < 0:
        return "-" + show(-units, decimals)
    if decimals == 0:
        return str(units)
    whole, fraction = divmod(units, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}"


def floor_div(a: int, b: int) -> int:
    """a / b rounded down: whoever receives the quotient loses the dust."""
    return a // b


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up: whoever pays the quotient loses the dust."""
    return -(-a // b)


class Rate(msgspec.Struct, frozen=True, gc=False):
    """An exact price: `num` minor units of `dst` for every `den` minor units of `src`."""

    src: str  #: asset code of what the customer sends
    dst: str  #: asset code of what the customer receives
    num: int
    den: int

    def __post_init__(self) -> None:
        if self.num <= 0 or self.den <= 0:
            raise ValueError("a rate is positive")

    def pays(self, sent: int) -> int:
        """Units of `dst` for `sent` units of `src`. Rounds down: the desk keeps the dust."""
        return floor_div(sent * self.num, self.den)

    def costs(self, received: int) -> int:
        """The least units of `src` that buy `received` units of `dst`. Rounds up."""
        return ceil_div(received * self.den, self.num)


def show_rate(rate: Rate, src_decimals: int, dst_decimals: int, digits: int = 8) -> str:
    """Whole coins of `dst` per whole coin of `src` with `digits` digits, cut, for display only."""
    scaled = rate.num * 10 ** (src_decimals + digits)
    return show(floor_div(scaled, rate.den * 10**dst_decimals), digits)


def usd_of(units: int, decimals: int, price: int) -> int:
    """Value in 1/USD_SCALE dollars of `units` at `price` (1/USD_SCALE dollars a coin), cut."""
    return floor_div(units * price, 10**decimals)


def units_of_usd(usd: int, decimals: int, price: int) -> int:
    """Units worth at most `usd` (1/USD_SCALE dollars) at `price` a coin. Rounds down."""
    return floor_div(usd * 10**decimals, price)


def units_of_usd_up(usd: int, decimals: int, price: int) -> int:
    """The least units worth at least `usd` at `price` a coin. Rounds up."""
    return ceil_div(usd * 10**decimals, price)


def show_usd(usd: int) -> str:
    """Dollars with two digits, cut: "620.00"."""
    return show(floor_div(usd, 10**10), 2)
