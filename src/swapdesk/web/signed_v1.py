"""Signed v1: catalogue, prices and orders (contract A5); the rest is in signed_v1_partner.py
and signed_v1_events.py.

Each endpoint is a plain function from a caller and a raw body to a body; `Route` says who may
call it and what that weighs. The dispatcher in `web/app.py` does the rest.
"""

import asyncio
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from swapdesk.engine.admit import admit
from swapdesk.engine.ask_price import ask_price, moment
from swapdesk.engine.choose_exchange import choose_exchange
from swapdesk.engine.desk import Desk
from swapdesk.engine.find_order import find_order
from swapdesk.engine.open_order import OrderAsk, open_order
from swapdesk.engine.quote import offered
from swapdesk.errors import No, Refused
from swapdesk.orders.order import OrderView
from swapdesk.partners.credential import Scope
from swapdesk.partners.partner import Caller, StaleHolder
from swapdesk.partners.secrets import Sealer, SigningKey, SigningKeys
from swapdesk.pricing import Ask
from swapdesk.web import qr
from swapdesk.web import signed_v1_words as words
from swapdesk.web.call import Answer, Call, ClientGone, read_body
from swapdesk.web.doors import Claims, Doors, read_claims
from swapdesk.web.price_memory import PriceMemory
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.signed_v1_events import EventCalls
from swapdesk.web.signed_v1_partner import PartnerCalls
from swapdesk.webhooks.events import order_dto

#: How long a process answers the catalogue from memory.
CATALOGUE_MS: Final = 30_000
CREATE_WEIGHT: Final = 50
QR_WEIGHT: Final = 5
#: How long a process keeps the picture of an order's address, and how many (contract A5.7).
PICTURE_MS: Final = 3_600_000
PICTURES_MAX: Final = 2_000

Headers = tuple[tuple[bytes, bytes], ...]
NO_STORE: Final = (b"cache-control", b"no-store")
CORS: Final = (b"access-control-allow-origin", b"*")
CLOSE: Final = (b"connection", b"close")

log = structlog.get_logger()


class Route(msgspec.Struct, frozen=True):
    """One endpoint: who may call it, what it weighs, what answers."""

    name: str
    work: Callable[[Caller | None, Call, bytes], Awaitable[bytes]]
    scope: Scope = Scope.ADMIN  #: what a key must be allowed
    required: bool = True  #: False: unsigned callers are served too, from the public bucket
    weight: int = 1
    admits: bool = False  #: True: `work` admits its caller itself, in its own transaction
    headers: Headers = ()

    @property
    def cors(self) -> bool:
        """True where scripts of other sites may read the answer."""
        return CORS in self.headers


class SignedV1:
    """The dialect on one desk."""

    def __init__(
        self, desk: Desk, sealer: Sealer, bucket: PublicBucket, origin: str | None = None
    ) -> None:
        self._desk = desk
        self._doors = Doors(desk, SigningKeys(sealer), origin)
        self._bucket = bucket
        self._key_of_keys = SigningKey(sealer.derive("idempotency"))
        self._prices = PriceMemory()
        self._catalogue: dict[str, tuple[int, bytes]] = {}
        self._pictures: OrderedDict[uuid.UUID, tuple[int, bytes]] = OrderedDict()
        self._partner = PartnerCalls(desk, sealer)
        self._log = EventCalls(desk, sealer)

    def routes(self) -> dict[str, dict[str, Route]]:
        """Path -> method -> route."""
        own = self._partner
        posts = {
            "/api/v1/currencies": Route("currencies", self.currencies, Scope.READ, required=False, headers=(CORS,)),
            "/api/v1/pairs": Route("pairs", self.pairs, Scope.READ, required=False, headers=(CORS, NO_STORE)),
            "/api/v1/price": Route("price", self.price, Scope.READ, required=False, headers=(CORS,)),
            "/api/v1/create": Route("create", self.create, Scope.TRADE, weight=CREATE_WEIGHT, admits=True),
            "/api/v1/order": Route("order", self.order, Scope.READ, admits=True),
            "/api/v1/emergency": Route("emergency", self.emergency, Scope.TRADE),
            "/api/v1/qr": Route("qr", self.qr, Scope.READ, weight=QR_WEIGHT, admits=True),
            "/api/v1/keys/rotate": Route("keys/rotate", own.rotate, Scope.ADMIN),
            "/api/v1/codes/enable": Route("codes/enable", own.enable_code, Scope.ADMIN),
        }  # fmt: skip
        codes = {
            "POST": Route("codes", own.create_code, Scope.ADMIN),
            "GET": Route("codes", own.list_codes, Scope.ADMIN),
            "DELETE": Route("codes", own.disable_code, Scope.ADMIN),
        }
        gets = {
            "/api/v1/events": Route("events", self._log.events, Scope.READ, headers=(NO_STORE,)),
            "/api/v1/webhook-key": Route("webhook-key", self._log.webhook_key, Scope.READ, headers=(NO_STORE,)),
        }  # fmt: skip
        return (
            {path: {"POST": route} for path, route in posts.items()}
            | {path: {"GET": route} for path, route in gets.items()}
            | {"/api/v1/codes": codes}
        )

    async def answer(self, route: Route, call: Call) -> Answer:
        """Check who calls, do the work, and say every outcome in this dialect. ClientGone."""
        try:
            claims = read_claims(call.headers, required=route.required)
            if claims is None:
                self._bucket.take(call.peer)
            body = await read_body(call)
            if body is None:
                return refusal(Refused(No.INVALID, "body too long"), (*route.headers, CLOSE))
            if claims is None:
                return Answer(200, await route.work(None, call, body), route.headers)
            try:
                text = await self._let_in(route, call, claims, body)
            except StaleHolder:
                text = await self._let_in(route, call, claims, body, afresh=True)
            return Answer(200, text, route.headers)
        except Refused as no:
            log.debug("refused", endpoint=route.name, no=no.no.value, why=no.why)
            return refusal(no, route.headers)
        except ClientGone:
            raise
        except Exception:
            log.exception("unexpected", endpoint=route.name)
            return failure(*words.INTERNAL, route.headers)

    async def _let_in(
        self, route: Route, call: Call, claims: Claims, body: bytes, *, afresh: bool = False
    ) -> bytes:
        """Check the signature, admit the caller, do the work. StaleHolder: nothing was done."""
        caller = await self._doors.enter(
            claims, call, body, route.weight, route.scope, afresh=afresh
        )
        if not route.admits:
            await admit(self._desk, caller)
        return await route.work(caller, call, body)

    async def currencies(self, _caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """What can be swapped."""
        words.decode(body, words.Nothing)
        return await self._from_catalogue("currencies")

    async def pairs(self, _caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """Which way it can be swapped."""
        words.decode(body, words.Nothing)
        return await self._from_catalogue("pairs")

    async def _from_catalogue(self, page: str) -> bytes:
        """A page of the catalogue, at most CATALOGUE_MS old. An empty one is never kept."""
        now = self._desk.world.now()
        made_ms, known = self._catalogue.get(page, (0, b""))
        if known and now - made_ms < CATALOGUE_MS:
            return known
        registry, offer = self._desk.registry, await offered(self._desk)
        name = {asset.code: registry.network_of(asset).name for asset in offer.assets}
        fresh = {
            "currencies": [words.currency(registry, asset) for asset in offer.assets],
            "pairs": [
                words.Pair(a.code, b.code, name[a.code], name[b.code]) for a, b in offer.pairs
            ],
        }
        bodies = {key: words.success(rows) for key, rows in fresh.items()}
        if offer.pairs:
            self._catalogue = {key: (now, text) for key, text in bodies.items()}
        return bodies[page]

    async def price(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """What a swap would give now. Strangers get the base rate, whatever `afftax` they send."""
        now = await moment(self._desk)
        markup = None if caller is None else caller.markup_bps
        answer = self._prices.find(now, markup, body)
        if answer is None:
            ask = self._ask(words.decode(body, words.PriceAsk), caller)
            priced = ask_price(self._desk, now, ask)
            answer = words.success(words.price(self._desk.registry, priced))
            self._prices.keep(markup, body, answer)
        return answer

    async def create(self, caller: Caller | None, call: Call, body: bytes) -> bytes:
        """Open an order, or repeat the one that this Idempotency-Key opened."""
        assert caller is not None, "the route requires a caller"
        try:
            ask = self._order_ask(caller, call, body)
        except Refused:
            await admit(self._desk, caller)
            raise
        return words.success(words.created(self._desk.registry, await open_order(self._desk, ask)))

    def _order_ask(self, caller: Caller, call: Call, body: bytes) -> OrderAsk:
        """What /create asks, in the desk's terms. Refused INVALID."""
        key = call.headers.get(b"idempotency-key")
        if key is not None and not words.IDEMPOTENCY_KEY.fullmatch(key):
            raise Refused(No.INVALID, "idempotency key")
        ask = words.decode(body, words.CreateAsk)
        terms = self._ask(ask, caller)
        words.agrees(self._desk.registry, terms.src, ask.from_network)
        words.agrees(self._desk.registry, terms.dst, ask.to_network)
        return OrderAsk(
            partner_id=caller.partner_id,
            src=terms.src,
            dst=terms.dst,
            direction=terms.direction,
            units=terms.units,
            markup_bps=terms.markup_bps,
            destination=ask.to_address,
            refund_address=ask.refund_address,
            key_hash=self._key_of_keys.sign(key) if key else None,
            body_hash=hashlib.sha256(body).digest(),
            caller=caller,
            code_id=caller.code_id,
        )

    async def order(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """The order as it stands. Unknown, foreign and wrong token are one answer."""
        assert caller is not None, "the route requires a caller"
        view = await self._find(caller, body)
        return words.success(order_dto(view, self._desk.registry))

    async def _find(self, caller: Caller, body: bytes) -> OrderView:
        """The order that `body` names, its caller admitted on the way. Refused INVALID, NOT_FOUND."""
        try:
            order_id, token = words.named_order(words.decode(body, words.FindAsk))
        except Refused:
            await admit(self._desk, caller)
            raise
        return await find_order(self._desk, caller.partner_id, order_id, token, caller)

    async def emergency(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """Go on with a held order at the live rate. True: stored, and acted on shortly."""
        assert caller is not None, "the route requires a caller"
        ask = words.decode(body, words.EmergencyAsk)
        if ask.choice != "EXCHANGE":
            raise Refused(No.BAD_CHOICE, "the only choice is EXCHANGE")
        await choose_exchange(self._desk, caller.partner_id, *words.named_order(ask))
        return words.success(True)  # noqa: FBT003 - that is the whole answer

    async def qr(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """The pay-in address as a picture: who asks is checked first, then memory is asked."""
        assert caller is not None, "the route requires a caller"
        order = (await self._find(caller, body)).order
        now = self._desk.world.now()
        made_ms, picture = self._pictures.get(order.id, (0, b""))
        if not picture or now - made_ms >= PICTURE_MS:
            uri = await asyncio.to_thread(qr.data_uri, order.address)
            picture = words.success(words.Qr(uri))
            self._pictures[order.id] = now, picture
            if len(self._pictures) > PICTURES_MAX:
                self._pictures.popitem(last=False)
        return picture

    def _ask(self, ask: words.PriceAsk | words.CreateAsk, caller: Caller | None) -> Ask:
        """What is asked, in the desk's terms. Markup: body, else partner; none for strangers."""
        registry = self._desk.registry
        src, dst = words.asset(registry, ask.from_ccy), words.asset(registry, ask.to_ccy)
        decimals = src.decimals if ask.direction == "from" else dst.decimals
        markup = 0 if caller is None else caller.markup_bps
        if caller is not None and ask.afftax is not None:
            markup = ask.afftax
        return Ask(src, dst, ask.direction, words.units(ask.amount, decimals), markup)


def refusal(no: Refused, headers: Headers = ()) -> Answer:
    """A "no" in the words of this dialect; 429 says when to come back."""
    if no.retry_after_seconds is not None:
        headers = (*headers, (b"retry-after", b"%d" % no.retry_after_seconds))
    return failure(*words.REFUSAL[no.no], headers)


def failure(status: int, code: int, msg: str, headers: Headers = ()) -> Answer:
    """An error body: the code and its constant, no hint of what was wrong."""
    body = b'{"code":%d,"msg":"%s"}' % (code, msg.encode())
    return Answer(status, body, headers, code)
