"""Opening orders: price one, reserve a pay-in address, promise. Many at once share a transaction.

`open_order` prices (pure) and joins the next batch; `open_orders` is that batch. It carries for
every row its caller's nonce and weight, its idempotency key, the order, the first row of its log
and its address: one statement per table. A row that is refused still burns and charges; only its
own answer says no.
"""

import hashlib
import hmac
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from swapdesk.assets import Asset
from swapdesk.chains.codec import BadAddress, check_address
from swapdesk.db import Tx
from swapdesk.engine.admit import admit_all
from swapdesk.engine.daily_cap import count_opened, lock_room
from swapdesk.engine.desk import Desk
from swapdesk.engine.maintenance import require_open
from swapdesk.engine.quote import require_alive
from swapdesk.engine.view import new_view, views_of
from swapdesk.errors import No, Refused
from swapdesk.orders import store as orders
from swapdesk.orders.order import Opened, Order, OrderView
from swapdesk.orders.shown import next_shown
from swapdesk.orders.states import State
from swapdesk.orders.store import Claim, Claimed, Key
from swapdesk.partners.partner import Caller
from swapdesk.pricing import Ask, Direction, Quote, price, within_bounds
from swapdesk.rates.store import Market

#: 32 bytes are 43 characters of base64url: the contract's token.
TOKEN_BYTES: Final = 32

#: Ids of drafts that will not be opened, and why.
Vetoes = dict[uuid.UUID, Refused]


class OrderAsk(msgspec.Struct, frozen=True, gc=False):
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
    caller: Caller | None = None  #: to be admitted with the order; None: he was, or there is none
    code_id: uuid.UUID | None = None  #: the reference code that brought it


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An order that could be opened: priced and checked, still without index and address."""

    order: Order
    token: str
    places: tuple[tuple[str, str], ...]  #: (network, address) where money may go
    value_usd: int  #: of what the customer is to send, in 1/USD_SCALE dollars


class Opening(msgspec.Struct, frozen=True):
    """One row of a batch: who asks, under which key, and the draft or why there is none."""

    caller: Caller | None
    claim: Claim | None
    draft: Draft | Refused


async def open_order(desk: Desk, ask: OrderAsk) -> Opened:
    """Open an order, or answer with the one that this idempotency key opened before.

    Refused: what `admit` refuses; INVALID (addresses, amount), BELOW_MIN, ABOVE_MAX (the pair's,
    or the daily cap), KEY_REUSED, MAINTENANCE, UNAVAILABLE. A refused order does not use up the key. The token is returned once and kept as
    hash. Unknown when PostgreSQL went away: ask again with the same key. StaleHolder.
    """
    claim = Claim(ask.partner_id, ask.key_hash, ask.body_hash) if ask.key_hash else None
    draft: Draft | Refused
    try:
        draft = await _draft(desk, ask)
    except Refused as no:
        if claim is None and ask.caller is None:
            raise
        draft = no
    return await desk.gather(open_orders).ask(Opening(ask.caller, claim, draft))


def token_hash(token: str) -> bytes:
    """What is kept of an order's token. Tokens are 256 bits of chance, so a plain hash will do."""
    return hashlib.sha256(token.encode()).digest()


async def open_orders(desk: Desk, tx: Tx, rows: Sequence[Opening]) -> list[Opened | Exception]:
    """One answer per row, in order. Whatever a row is told, its nonce and weight are written."""
    verdicts = await admit_all(desk, tx, [row.caller for row in rows])
    inside = [row for row, no in zip(rows, verdicts, strict=True) if no is None]
    vetoes = await _vetoes(desk, tx, inside)
    held = await _claim(desk, tx, inside, vetoes)
    drafts = [draft for row in inside if (draft := _opening(row, vetoes, held))]
    new = await _write(desk, tx, drafts)
    earlier = {claimed.order_id for claimed in held.values()} - new.keys()
    views = new | await views_of(desk, tx, earlier)
    return [no or _answer(row, vetoes, held, views) for row, no in zip(rows, verdicts, strict=True)]


async def _vetoes(desk: Desk, tx: Tx, rows: Sequence[Opening]) -> Vetoes:
    """Drafts that name one of our own addresses, and those that the daily cap has no room for."""
    drafts = [row.draft for row in rows if isinstance(row.draft, Draft)]
    named = {place for draft in drafts for place in draft.places}
    ours = await desk.pay_in.ours(tx, named) if named else set()
    vetoes = {
        draft.order.id: Refused(No.INVALID, "one of our own pay-in addresses")
        for draft in drafts
        if not ours.isdisjoint(draft.places)
    }
    if drafts and desk.terms.daily_cap_usd is not None:
        await _cap(desk, tx, rows, vetoes)
    return vetoes


async def _cap(desk: Desk, tx: Tx, rows: Sequence[Opening], vetoes: Vetoes) -> None:
    """Count what these rows open against the daily cap; what does not fit is vetoed.

    A repeat opens nothing: keys are looked up after the cap is locked, so that every earlier
    claim is visible, and of several rows with one key only the first counts.
    """
    room = await lock_room(desk, tx)
    keys = {row.claim.key for row in rows if row.claim}
    known = await orders.find_keys(tx, keys) if keys else {}
    judged: dict[Key | uuid.UUID, Refused | None] = {}
    taken = 0
    for row in rows:
        if not isinstance(row.draft, Draft) or row.draft.order.id in vetoes:
            continue
        name = row.claim.key if row.claim else row.draft.order.id
        if name in known:
            continue
        if name not in judged:
            fits = taken + row.draft.value_usd <= room
            taken += row.draft.value_usd if fits else 0
            judged[name] = None if fits else Refused(No.ABOVE_MAX, "the daily cap is reached")
        if no := judged[name]:
            vetoes[row.draft.order.id] = no
    await count_opened(desk, tx, taken)


async def _claim(desk: Desk, tx: Tx, rows: Sequence[Opening], vetoes: Vetoes) -> dict[Key, Claimed]:
    """Who holds the idempotency keys of these rows, after the rows that can open an order have
    claimed theirs. Of several with one key the first in line claims it."""
    first: dict[Key, tuple[Claim, uuid.UUID]] = {}
    for row in rows:
        if row.claim and isinstance(row.draft, Draft) and row.draft.order.id not in vetoes:
            first.setdefault(row.claim.key, (row.claim, row.draft.order.id))
    free = await orders.claim_keys(tx, first, desk.world.now()) if first else set()
    held = {key: Claimed(first[key][1], first[key][0].body_hash) for key in free}
    others = {row.claim.key for row in rows if row.claim} - free
    return held | await orders.find_keys(tx, others) if others else held


def _opening(row: Opening, vetoes: Vetoes, held: Mapping[Key, Claimed]) -> Draft | None:
    """The draft of a row that opens an order now."""
    if not isinstance(row.draft, Draft) or row.draft.order.id in vetoes:
        return None
    if row.claim and held[row.claim.key].order_id != row.draft.order.id:
        return None
    return row.draft


async def _write(desk: Desk, tx: Tx, drafts: Sequence[Draft]) -> dict[uuid.UUID, OrderView]:
    """Open the orders of these drafts at fresh addresses: one statement per table."""
    if not drafts:
        return {}
    wanted = Counter(draft.order.network for draft in drafts)
    fresh = {
        network: iter(await desk.pay_in.take(tx, network, count))
        for network, count in wanted.items()
    }
    new = []
    for draft in drafts:
        index, address = next(fresh[draft.order.network])
        new.append(replace(draft.order, address_index=index, address=address))
    await orders.open_all(tx, new, by="partner")
    await desk.pay_in.keep(tx, new)
    return {order.id: new_view(desk, order) for order in new}


def _answer(
    row: Opening, vetoes: Vetoes, held: Mapping[Key, Claimed], views: Mapping[uuid.UUID, OrderView]
) -> Opened | Exception:
    opened = _opening(row, vetoes, held)
    if opened:
        return Opened(views[opened.order.id], opened.token)
    claimed = held.get(row.claim.key) if row.claim else None
    if row.claim is None or claimed is None:
        return row.draft if isinstance(row.draft, Refused) else vetoes[row.draft.order.id]
    if not hmac.compare_digest(claimed.body_hash, row.claim.body_hash):
        return Refused(No.KEY_REUSED, "the idempotency key came with another body")
    view = views.get(claimed.order_id)
    if view is None or view.order.hidden:
        return Refused(No.NOT_FOUND, "the order of this key is gone")
    return Opened(view, None)


async def _draft(desk: Desk, ask: OrderAsk) -> Draft:
    """The order as it would be: pure but for looking at what this process knows of the market."""
    destination = _checked(desk, ask.dst, ask.destination)
    refund = _checked(desk, ask.src, ask.refund_address)
    await require_open(desk)
    await require_alive(desk, (ask.src, ask.dst))
    market = await desk.market()
    terms = Ask(ask.src, ask.dst, ask.direction, ask.units, ask.markup_bps)
    quote = price(terms, desk.book(market), desk.fees(ask.dst.network))
    within_bounds(quote)
    token = desk.world.token(TOKEN_BYTES)
    return Draft(
        order=_order(desk, ask, quote, market, token, destination, refund),
        token=token,
        places=((ask.dst.network, destination), (ask.src.network, refund)),
        value_usd=quote.from_usd,
    )


def _checked(desk: Desk, asset: Asset, address: str) -> str:
    try:
        return check_address(asset.network, desk.registry.world, address)
    except BadAddress as wrong:
        raise Refused(No.INVALID, f"{asset.network} address: {wrong}") from wrong


def _order(
    desk: Desk,
    ask: OrderAsk,
    quote: Quote,
    market: Market,
    token: str,
    destination: str,
    refund: str,
) -> Order:
    now = desk.world.now()
    return Order(
        id=desk.world.uuid(),
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
        destination=destination,
        refund_address=refund,
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
        code_id=ask.code_id,
    )
