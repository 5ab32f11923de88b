"""What the public feeds tell: every direction that can be had now, at the price `create` gives.

Prices come from `pricing.price` on the newest snapshot, exactly as an order without markup would
get them; the reserve is what the vault said it can spend, less what is promised of it already. A
direction that cannot be priced, or whose networks are not alive, is left out.
"""

from collections.abc import Mapping

import msgspec

from swapdesk.db import queries
from swapdesk.engine.daily_cap import daily_room
from swapdesk.engine.desk import Desk
from swapdesk.engine.maintenance import in_maintenance
from swapdesk.engine.quote import offered
from swapdesk.errors import Refused
from swapdesk.money import units_of_usd
from swapdesk.orders import vault_words
from swapdesk.pricing import Ask, Fees, Quote, price
from swapdesk.rates.book import Book

Q = queries(__package__, "feed.sql")


class Item(msgspec.Struct, frozen=True):
    """One direction. Units are minor units."""

    unit: Quote  #: of one whole source coin; `to_units` is 0 where its fees take all of it
    reserve_units: int  #: of the destination, that nothing is promised of
    min_units: int  #: what an order may send, inclusive
    max_units: int


async def feed(desk: Desk) -> list[Item]:
    """Every direction that can be had now; none in maintenance or before the first rates."""
    if await in_maintenance(desk):
        return []
    try:
        offer = await offered(desk)
        book = desk.book(await desk.market())
    except Refused:
        return []
    reserves, room = await spendable(desk), await daily_room(desk)
    items = []
    for src, dst in offer.pairs:
        unit = _priced(Ask(src, dst, "from", 10**src.decimals, 0), book, desk.fees(dst.network))
        bounds = unit and _bounds(unit, book, desk.fees(dst.network), room)
        if unit and bounds:
            items.append(Item(unit, reserves.get(dst.code, 0), *bounds))
    return items


async def spendable(desk: Desk) -> Mapping[str, int]:
    """Asset -> units of the hot wallet that nothing is promised of, as the vault last said."""
    async with desk.db.transaction() as tx:
        balances = await vault_words.hot_balances(tx)
        promised = {row["asset"]: row["units"] for row in await tx.fetch(Q.promised)}
    return {b.asset: max(b.units - promised.get(b.asset, 0), 0) for b in balances}


def _priced(ask: Ask, book: Book, fees: Fees) -> Quote | None:
    try:
        return price(ask, book, fees)
    except Refused:
        return None


def _bounds(unit: Quote, book: Book, fees: Fees, room_usd: int | None) -> tuple[int, int] | None:
    """What an order of this direction may send, as `create` would judge it; None: nothing.

    Where fees leave only dust of the least amount, the real minimum is higher; where the daily cap
    leaves less room than the greatest amount, the real maximum is lower.
    """
    src, dst, low, high = unit.src, unit.dst, unit.min_units, unit.max_units
    if unit.to_min_units <= dst.dust_units:
        least = _priced(Ask(src, dst, "to", dst.dust_units + 1, 0), book, fees)
        low = high + 1 if least is None else max(low, least.from_units)
    worth = book.usd_price(src)
    if room_usd is not None and worth is not None:
        high = min(high, units_of_usd(room_usd, src.decimals, worth))
    return (low, high) if low <= high else None
