"""Opening an order: price it, reserve a pay-in address, promise."""

import hashlib
import hmac
import uuid
from typing import Final

import asyncpg
import msgspec

from swapdesk.assets import Asset
from swapdesk.chains.codec import BadAddress, check_address
from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.engine.quote import require_alive
from swapdesk.engine.view import view_of
from swapdesk.errors import No, Refused
from swapdesk.orders import store as orders
from swapdesk.orders.order import Opened, Order
from swapdesk.orders.shown import next_shown
from swapdesk.orders.states import State
from swapdesk.pricing import Ask, Direction, Quote, price, within_bounds
from swapdesk.rates.store import Market

#: 32 bytes are 43 characters of base64url: the contract's token.
TOKEN_BYTES: Final = 32
#: How long the second of two concurrent requests with one key waits for the first.
KEY_WAIT_SECONDS_MAX: Final = 5


class OrderAsk(msgspec.Struct, frozen=True):
    """What a partner wants opened. Addresses are as the caller wrote them."""

    partner_id: uuid.UUID
    src: Asset
    dst: Asset
    direction: Direction
    units: int
    markup_bps: int
    destination: str
    refund_address: str
    key_hash: bytes | None  #: of the idempotency key, keyed; None when there is none
    body_hash: bytes  #: SHA-256 of the raw body


async def open_order(desk: Desk, ask: OrderAsk) -> Opened:
    """Open an order, or answer with the one that this idempotency key opened before.

    Refused: INVALID (addresses, amount), BELOW_MIN, ABOVE_MAX, KEY_REUSED, UNAVAILABLE. A refused
    order writes nothing and does not use up the key. The token is returned once and kept as hash.
    """
    claim = orders.Claim(ask.partner_id, ask.key_hash, ask.body_hash) if ask.key_hash else None
    if claim:
        async with desk.db.transaction() as tx:
            if replayed := await _replay(desk, tx, claim, await orders.find_key(tx, claim)):
                return replayed
    destination = _checked(desk, ask.dst, ask.destination)
    refund = _checked(desk, ask.src, ask.refund_address)
    await require_alive(desk, (ask.src, ask.dst))
    market = await desk.market()
    terms = Ask(ask.src, ask.dst, ask.direction, ask.units, ask.markup_bps)
    quote = price(terms, desk.book(market), desk.fees(ask.dst.network))
    within_bounds(quote)

    async def work(tx: Tx) -> Opened:
        order_id, token = desk.world.uuid(), desk.world.token(TOKEN_BYTES)
        if claim:
            await tx.execute(f"SET LOCAL lock_timeout = '{KEY_WAIT_SECONDS_MAX}s'")
            first = await orders.claim_key(tx, claim, order_id, desk.world.now())
            if replayed := await _replay(desk, tx, claim, first):
                return replayed
        for network, address in ((ask.dst.network, destination), (ask.src.network, refund)):
            if await desk.pay_in.owns(tx, network, address):
                raise Refused(No.INVALID, "one of our own pay-in addresses")
        index, address = await desk.pay_in.reserve(tx, ask.src, order_id)
        order = _order(desk, ask, quote, market, order_id, token)
        order = msgspec.structs.replace(
            order, destination=destination, refund_address=refund,
            address_index=index, address=address,
        )  # fmt: skip
        await orders.insert(tx, order, by="partner")
        return Opened(await view_of(desk, tx, order), token)

    try:
        return await desk.db.retrying(work)
    except asyncpg.LockNotAvailableError as waited:
        raise Refused(No.UNAVAILABLE, "an earlier request with this key is not done") from waited


def token_hash(token: str) -> bytes:
    """What is kept of an order's token. Tokens are 256 bits of chance, so a plain hash will do."""
    return hashlib.sha256(token.encode()).digest()


async def _replay(
    desk: Desk, tx: Tx, claim: orders.Claim, first: orders.Claimed | None
) -> Opened | None:
    """The order that first used the key, without its token. Refused KEY_REUSED for another body."""
    if first is None:
        return None
    if not hmac.compare_digest(first.body_hash, claim.body_hash):
        raise Refused(No.KEY_REUSED, "the idempotency key came with another body")
    order = await orders.read(tx, first.order_id)
    if order is None:
        raise Refused(No.NOT_FOUND, "the order of this key is gone")
    return Opened(await view_of(desk, tx, order), None)


def _checked(desk: Desk, asset: Asset, address: str) -> str:
    try:
        return check_address(asset.network, desk.registry.world, address)
    except BadAddress as wrong:
        raise Refused(No.INVALID, f"{asset.network} address: {wrong}") from wrong


def _order(
    desk: Desk, ask: OrderAsk, quote: Quote, market: Market, id: uuid.UUID, token: str
) -> Order:
    now = desk.world.now()
    return Order(
        id=id,
        partner_id=ask.partner_id,
        state=State.WAITING,
        rev=0,
        shown=next_shown((), State.WAITING),
        from_asset=ask.src.code,
        to_asset=ask.dst.code,
        direction=ask.direction,
        from_units=quote.from_units,
        to_units=quote.to_units,
        rate=quote.rate,
        snapshot_id=market.id,
        base_fee_bps=quote.base_fee_bps,
        markup_bps=ask.markup_bps,
        network_fee_units=quote.network_fee_units,
        min_units=quote.min_units,
        max_units=quote.max_units,
        destination=ask.destination,
        refund_address=ask.refund_address,
        token_hash=token_hash(token),
        opened_ms=now,
        window_ends_ms=now + desk.terms.window_ms,
        updated_ms=now,
        paid_ms=None,
        next_ms=now + desk.terms.window_ms,
        hold_reasons=(),
        choice="NONE",
        attestation=None,
        network=ask.src.network,
        address_index=-1,
        address="",
    )
