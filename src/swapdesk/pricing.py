"""Pricing: pure. One function serves quote, create and the re-pricing of what arrived.

    to = floor(from x rate) - base fee - markup - network fee        each step shown

Every rounding favours the desk: what the customer receives is rounded down, every fee is rounded
up, what the customer must send is rounded up. (contract D 15, 16, 18, 22, 23)
"""

from typing import Final, Literal

import msgspec

from swapdesk.assets import Asset
from swapdesk.errors import No, Refused
from swapdesk.money import (
    BPS,
    UNITS_END,
    USD_SCALE,
    Rate,
    ceil_div,
    units_of_usd,
    units_of_usd_up,
    usd_of,
)
from swapdesk.rates.book import Book

Direction = Literal["from", "to"]

#: Partners add at most 20 %.
MARKUP_BPS_MAX: Final = 2_000


class Fees(msgspec.Struct, frozen=True, gc=False):
    """What the desk charges: a share, and the cost of paying out on the destination network."""

    base_bps: int
    network_usd: int  #: 1/USD_SCALE dollars, turned into units of the destination asset


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to swap. `units` are of the side that `direction` names."""

    src: Asset
    dst: Asset
    direction: Direction
    units: int
    markup_bps: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """A price with its working shown. All units are minor units."""

    src: Asset
    dst: Asset
    direction: Direction
    from_units: int
    to_units: int
    rate: Rate  #: gross, before any fee
    base_fee_bps: int
    markup_bps: int
    gross_units: int  #: floor(from x rate)
    base_fee_units: int
    markup_units: int
    network_fee_units: int
    min_units: int  #: bounds of from_units, inclusive
    max_units: int
    to_min_units: int  #: what the bounds buy
    to_max_units: int
    from_usd: int  #: 1/USD_SCALE dollars
    to_usd: int
    from_btc_units: int | None  #: value of the source in satoshi, None without a BTC price


def rates_for(book: Book, src: Asset, dst: Asset) -> tuple[Rate, int, int]:
    """(gross rate, USD price of src, USD price of dst). Refused UNAVAILABLE when stale."""
    rate, sold, bought = book.rate(src, dst), book.usd_price(src), book.usd_price(dst)
    if rate is None or sold is None or bought is None:
        raise Refused(No.UNAVAILABLE, f"no trustworthy rate for {src.code} -> {dst.code}")
    return rate, sold, bought


def price(ask: Ask, book: Book, fees: Fees) -> Quote:
    """The price of `ask`. Bounds are reported, not enforced (`within_bounds` does that).

    Refused INVALID when nothing is left after fees or a number leaves the range of the books,
    UNAVAILABLE when a rate is missing.
    """
    if ask.src.code == ask.dst.code or not 0 <= ask.markup_bps <= MARKUP_BPS_MAX or ask.units <= 0:
        raise Refused(No.INVALID, "same asset on both sides, markup or amount out of range")
    rate, sold, bought = rates_for(book, ask.src, ask.dst)
    network_fee = units_of_usd_up(fees.network_usd, ask.dst.decimals, bought)
    low = units_of_usd_up(ask.src.min_usd * USD_SCALE, ask.src.decimals, sold)
    high = units_of_usd(ask.src.max_usd * USD_SCALE, ask.src.decimals, sold)
    if ask.direction == "from":
        from_units = ask.units
    else:
        from_units = _deposit_for(ask.units, rate, fees.base_bps, ask.markup_bps, network_fee)
    gross, base, markup, net = _net(from_units, rate, fees.base_bps, ask.markup_bps, network_fee)
    if not (0 < from_units < UNITS_END and 0 <= gross < UNITS_END):
        raise Refused(No.INVALID, "amount out of range")
    btc = book.prices.get("BTC")
    usd = usd_of(from_units, ask.src.decimals, sold)
    return Quote(
        src=ask.src,
        dst=ask.dst,
        direction=ask.direction,
        from_units=from_units,
        to_units=max(net, 0),
        rate=rate,
        base_fee_bps=fees.base_bps,
        markup_bps=ask.markup_bps,
        gross_units=gross,
        base_fee_units=base,
        markup_units=markup,
        network_fee_units=network_fee,
        min_units=low,
        max_units=high,
        to_min_units=max(_net(low, rate, fees.base_bps, ask.markup_bps, network_fee)[3], 0),
        to_max_units=max(_net(high, rate, fees.base_bps, ask.markup_bps, network_fee)[3], 0),
        from_usd=usd,
        to_usd=usd_of(max(net, 0), ask.dst.decimals, bought),
        from_btc_units=units_of_usd(usd, 8, btc.ask) if btc else None,
    )


def within_bounds(quote: Quote) -> None:
    """Refused BELOW_MIN, ABOVE_MAX, or INVALID when no more than dust is left to pay out."""
    if quote.from_units < quote.min_units:
        raise Refused(No.BELOW_MIN)
    if quote.from_units > quote.max_units:
        raise Refused(No.ABOVE_MAX)
    if quote.to_units <= quote.dst.dust_units:
        raise Refused(No.BELOW_MIN, "nothing worth paying is left after fees")


def _net(
    from_units: int, rate: Rate, base_bps: int, markup_bps: int, network_fee: int
) -> tuple[int, int, int, int]:
    """(gross, base fee, markup, net) of a deposit; net may be negative for tiny deposits."""
    gross = rate.pays(from_units)
    base = ceil_div(gross * base_bps, BPS)
    markup = ceil_div(gross * markup_bps, BPS)
    return gross, base, markup, gross - base - markup - network_fee


def _deposit_for(want: int, rate: Rate, base_bps: int, markup_bps: int, network_fee: int) -> int:
    """The least deposit that pays `want` net. One unit less never does."""
    kept_bps = BPS - base_bps - markup_bps
    if kept_bps <= 0:
        raise Refused(No.INVALID, "fees take everything")
    gross = ceil_div((want + network_fee) * BPS, kept_bps)
    # Both fees round up on their own, so the estimate may be short by up to two units of gross:
    # step to the least gross that is enough, then to the least deposit that buys it.
    while _net_of_gross(gross - 1, base_bps, markup_bps, network_fee) >= want:
        gross -= 1
    while _net_of_gross(gross, base_bps, markup_bps, network_fee) < want:
        gross += 1
    return rate.costs(gross)


def _net_of_gross(gross: int, base_bps: int, markup_bps: int, network_fee: int) -> int:
    return gross - ceil_div(gross * base_bps, BPS) - ceil_div(gross * markup_bps, BPS) - network_fee


def refund_units(received: int, asset: Asset, book: Book, fees: Fees) -> int:
    """What goes back of `received` units after the network's cost. Refused if it is only dust."""
    usd = book.usd_price(asset)
    if usd is None:
        raise Refused(No.UNAVAILABLE, f"no trustworthy rate for {asset.code}")
    left = received - units_of_usd_up(fees.network_usd, asset.decimals, usd)
    if left <= asset.dust_units:
        raise Refused(No.INVALID, "the refund would not cover its network fee")
    return left
