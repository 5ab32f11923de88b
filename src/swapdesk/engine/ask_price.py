"""What a swap would cost now, and what would stand in its way if an order were opened."""

import enum

import msgspec

from swapdesk.engine.alive import alive_networks
from swapdesk.engine.daily_cap import daily_room
from swapdesk.engine.desk import Desk
from swapdesk.engine.feed import spendable
from swapdesk.engine.maintenance import in_maintenance
from swapdesk.errors import No, Refused
from swapdesk.pricing import Ask, Quote, price, within_bounds


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


async def ask_price(desk: Desk, ask: Ask) -> Priced:
    """The price of `ask` now, whatever stands in its way.

    Refused UNAVAILABLE without a trustworthy rate, INVALID when the numbers make no sense.
    """
    market = await desk.market()
    quote = price(ask, desk.book(market), desk.fees(ask.dst.network))
    alive = await alive_networks(desk)
    reserve = (await desk.recent(spendable)).get(ask.dst.code)
    found = {
        Trouble.PAUSED: await in_maintenance(desk),
        Trouble.SOURCE_OFFLINE: ask.src.network not in alive,
        Trouble.DESTINATION_OFFLINE: ask.dst.network not in alive,
        **_bounds(quote, await daily_room(desk)),
        # A vault that has not spoken of an asset yet does not say that there is none.
        Trouble.RESERVE: reserve is not None and reserve < quote.to_units,
    }
    return Priced(quote, tuple(trouble for trouble, there in found.items() if there))


def _bounds(quote: Quote, room_usd: int | None) -> dict[Trouble, bool]:
    """What `open_order` would say of the amount."""
    no = None
    try:
        within_bounds(quote)
    except Refused as refused:
        no = refused.no
    full = room_usd is not None and quote.from_usd > room_usd
    return {
        Trouble.BELOW_MIN: no is No.BELOW_MIN,
        Trouble.ABOVE_MAX: no is No.ABOVE_MAX or (no is None and full),
    }
