"""What a swap would cost now, and what would stand in its way if an order were opened."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from swapdesk.engine.alive import alive_networks
from swapdesk.engine.daily_cap import daily_room
from swapdesk.engine.desk import Desk
from swapdesk.engine.feed import spendable
from swapdesk.engine.maintenance import in_maintenance
from swapdesk.errors import No, Refused
from swapdesk.pricing import Ask, Quote, price, within_bounds
from swapdesk.rates.book import Book
from swapdesk.rates.store import Market


class Trouble(enum.Enum):
    """Why an order would be refused, or would have to wait."""

    PAUSED = "paused"  #: the operator takes no new orders
    SOURCE_OFFLINE = "source_offline"  #: nobody watches the network that the customer sends on
    DESTINATION_OFFLINE = "destination_offline"  #: or the one he receives on
    BELOW_MIN = "below_min"  #: too little
    ABOVE_MAX = "above_max"  #: too much, for the pair or for today
    RESERVE = "reserve"  #: the hot wallet does not hold so much now


#: With one of these an amount means nothing.
CLOSED = frozenset({Trouble.PAUSED, Trouble.SOURCE_OFFLINE, Trouble.DESTINATION_OFFLINE})


class Priced(msgspec.Struct, frozen=True):
    """A quote and its troubles, none for an order that would open and be paid."""

    quote: Quote
    troubles: tuple[Trouble, ...]


class Facts(msgspec.Struct, frozen=True):
    """What every price depends on besides the book and what is asked."""

    market: Market
    alive: frozenset[str]
    reserves: Mapping[str, int]
    paused: bool
    room_usd: int | None  #: what the daily cap leaves; None: there is none


class Moment(NamedTuple):
    """Now: as long as both parts are the same objects, every price is what it was."""

    facts: Facts
    book: Book


async def moment(desk: Desk) -> Moment:
    """Facts are read at most once a second; the age of rates is judged at every call.

    Refused UNAVAILABLE before the first rates.
    """
    facts = await desk.recent(_facts)
    return Moment(facts, desk.book(facts.market))


async def _facts(desk: Desk) -> Facts:
    return Facts(
        await desk.market(),
        await alive_networks(desk),
        await desk.recent(spendable),
        await in_maintenance(desk),
        await daily_room(desk),
    )


def ask_price(desk: Desk, now: Moment, ask: Ask) -> Priced:
    """The price of `ask` now, whatever stands in its way.

    Refused UNAVAILABLE without a trustworthy rate, INVALID when the numbers make no sense.
    """
    facts, book = now
    quote = price(ask, book, desk.fees(ask.dst.network))
    reserve = facts.reserves.get(ask.dst.code)
    troubles = []
    if facts.paused:
        troubles.append(Trouble.PAUSED)
    if ask.src.network not in facts.alive:
        troubles.append(Trouble.SOURCE_OFFLINE)
    if ask.dst.network not in facts.alive:
        troubles.append(Trouble.DESTINATION_OFFLINE)
    if bound := _bound(quote, facts.room_usd):
        troubles.append(bound)
    # A vault that has not spoken of an asset yet does not say that there is none.
    if reserve is not None and reserve < quote.to_units:
        troubles.append(Trouble.RESERVE)
    return Priced(quote, tuple(troubles))


def _bound(quote: Quote, room_usd: int | None) -> Trouble | None:
    """What `open_order` would say of the amount."""
    try:
        within_bounds(quote)
    except Refused as no:
        return {No.BELOW_MIN: Trouble.BELOW_MIN, No.ABOVE_MAX: Trouble.ABOVE_MAX}.get(no.no)
    full = room_usd is not None and quote.from_usd > room_usd
    return Trouble.ABOVE_MAX if full else None
