"""Asking what a swap would cost, and what can be swapped at all."""

from collections.abc import Sequence

import msgspec

from swapdesk.assets import Asset
from swapdesk.engine.alive import alive_networks
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.pricing import Ask, Quote, price


class Offer(msgspec.Struct, frozen=True):
    """What can be swapped now."""

    assets: tuple[Asset, ...]  #: priced, on a network that is watched and paid from
    pairs: tuple[tuple[Asset, Asset], ...]


async def quote(desk: Desk, ask: Ask) -> Quote:
    """The price of `ask` now. Refused UNAVAILABLE without a trustworthy rate or a live network,
    INVALID when the numbers make no sense. Bounds are told, not enforced."""
    await require_alive(desk, (ask.src, ask.dst))
    market = await desk.market()
    return price(ask, desk.book(market), desk.fees(ask.dst.network))


async def offered(desk: Desk) -> Offer:
    """Everything that can be quoted now. Refused UNAVAILABLE before the first rates."""
    book = desk.book(await desk.market())
    alive = await alive_networks(desk)
    assets = tuple(
        asset
        for asset in desk.registry.assets.values()
        if asset.network in alive and book.usd_price(asset) is not None
    )
    pairs = tuple((a, b) for a in assets for b in assets if a is not b)
    return Offer(assets, pairs)


async def require_alive(desk: Desk, assets: Sequence[Asset]) -> None:
    """Refused UNAVAILABLE unless every asset's network is watched and paid from."""
    alive = await alive_networks(desk)
    for asset in assets:
        if asset.network not in alive:
            raise Refused(No.UNAVAILABLE, f"network {asset.network} is not being watched")
