"""The words of signed v1: request and answer structs, the total tables, reading a body. Pure.

Contract A1 to A9. Nothing in here knows a socket; nothing outside a dialect knows these words.
"""

import json
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec

from swapdesk.assets import Asset, Registry
from swapdesk.engine.ask_price import CLOSED, Priced, Trouble
from swapdesk.errors import No, Refused
from swapdesk.money import BadAmount, from_wire, show, show_rate, show_usd
from swapdesk.orders.order import Opened
from swapdesk.pricing import MARKUP_BPS_MAX, Direction
from swapdesk.webhooks.events import STATUS, OrderDto, order_dto

__all__ = ["REFUSAL", "STATUS"]

T = TypeVar("T")

#: HTTP status, code, msg for every "no". The code is the contract, the HTTP status is advice.
REFUSAL: Final[Mapping[No, tuple[int, int, str]]] = MappingProxyType(
    {
        No.INVALID: (400, 1, "INVALID_REQUEST"),
        No.KEY_REUSED: (409, 1, "INVALID_REQUEST"),
        No.AUTH_MISSING: (401, 2, "AUTH_REQUIRED"),
        No.AUTH_INVALID: (401, 3, "AUTH_INVALID"),
        No.AUTH_DISABLED: (401, 4, "AUTH_DISABLED"),
        No.RATE_LIMIT: (429, 5, "RATE_LIMIT"),
        No.NOT_FOUND: (404, 6, "NOT_FOUND"),
        No.BELOW_MIN: (400, 7, "LIMIT_MIN"),
        No.ABOVE_MAX: (400, 8, "LIMIT_MAX"),
        No.RESERVE: (503, 9, "RESERVE_EXCEEDED"),
        No.MAINTENANCE: (503, 10, "MAINTENANCE"),
        No.UNAVAILABLE: (503, 11, "UPSTREAM_ERROR"),
        No.BAD_CHOICE: (400, 12, "EMERGENCY_INVALID_CHOICE"),
        No.TAKEN: (409, 1, "INVALID_REQUEST"),
        No.CONFLICT: (409, 14, "ROTATION_CONFLICT"),
    }
)
#: Our own bug: logged here, nothing told.
INTERNAL: Final = (500, 99, "INTERNAL")
#: What /price says where /create would refuse, in the ancestor's eight words; RESERVE_FROM is never
#: said, because the desk needs no reserve of what it receives (contract D13).
PRICE_ERROR: Final[Mapping[Trouble, tuple[str, ...]]] = MappingProxyType(
    {
        Trouble.PAUSED: ("MAINTENANCE_FROM", "MAINTENANCE_TO"),
        Trouble.SOURCE_OFFLINE: ("OFFLINE_FROM",),
        Trouble.DESTINATION_OFFLINE: ("OFFLINE_TO",),
        Trouble.BELOW_MIN: ("LIMIT_MIN",),
        Trouble.ABOVE_MAX: ("LIMIT_MAX",),
        Trouble.RESERVE: ("RESERVE_TO",),
    }
)

#: An order's token: 32 bytes as base64url; and its id: a UUID with hyphens.
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
ORDER_ID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{8,128}")

Afftax = Annotated[int, msgspec.Meta(ge=0, le=MARKUP_BPS_MAX)]
AddressText = Annotated[str, msgspec.Meta(min_length=10, max_length=200)]
Tag = Annotated[str, msgspec.Meta(max_length=64)]


class Nothing(msgspec.Struct, frozen=True):
    """POST /api/v1/currencies and /pairs: `{}`."""


class PriceAsk(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """POST /api/v1/price. `amount` is a JSON string or number; neither passes a float."""

    type: Literal["float"]
    from_ccy: str
    to_ccy: str
    direction: Direction
    amount: object
    afftax: Afftax | None = None


class CreateAsk(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """POST /api/v1/create."""

    type: Literal["float"]
    from_ccy: str
    to_ccy: str
    direction: Direction
    amount: object
    to_address: AddressText
    refund_address: AddressText
    from_network: str | None = None
    to_network: str | None = None
    tag: Tag | None = None
    afftax: Afftax | None = None


class FindAsk(msgspec.Struct, frozen=True, gc=False):
    """POST /api/v1/order and /qr."""

    id: str
    token: str


class EmergencyAsk(FindAsk, frozen=True):
    """POST /api/v1/emergency. Any `choice` but EXCHANGE is code 12, whatever its type."""

    choice: object = None


class Qr(msgspec.Struct, frozen=True, rename="camel"):
    """The pay-in address as a picture."""

    qr_png: str  #: a data URI


class Envelope(msgspec.Struct, Generic[T], frozen=True):
    """Every success."""

    code: int
    msg: str
    data: T


class Currency(msgspec.Struct, frozen=True, rename="camel"):
    """One asset."""

    code: str
    coin: str
    network: str
    name: str
    recv: bool
    send: bool
    tag: str | None
    logo: str | None
    color: str | None
    min_amount: str | None
    max_amount: str | None
    precision: int


class Pair(msgspec.Struct, frozen=True, rename="camel"):
    """One direction that can be quoted."""

    from_: str = msgspec.field(name="from")
    to: str
    from_network: str
    to_network: str
    rate_types: tuple[str, ...] = ("FLOAT",)


class PriceTo(msgspec.Struct, frozen=True, gc=False):
    """What the customer receives."""

    code: str
    coin: str
    network: str
    amount: str
    rate: str
    precision: int
    min: str
    max: str
    usd: str


class PriceFrom(PriceTo, frozen=True, gc=False):
    """What the customer sends; it alone has its value in BTC."""

    btc: str


class Price(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A quote."""

    from_: PriceFrom = msgspec.field(name="from")
    to: PriceTo
    errors: list[str]
    markup_bps: int


class Created(OrderDto, frozen=True, rename="camel"):
    """The order with its token: once, null in a replay."""

    token: str | None


def decode(body: bytes, kind: type[T]) -> T:
    """A JSON object as `kind`. Unknown fields are ignored; numbers keep their digits.

    Refused INVALID for invalid UTF-8, NaN and Infinity, a repeated name at any depth, anything
    but an object, and whatever does not fit `kind`.
    """
    try:
        value = _JSON.decode(body.decode())
        if not isinstance(value, dict):
            raise Refused(No.INVALID, "not an object")
        return msgspec.convert(value, kind)
    except (ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError) as wrong:
        raise Refused(No.INVALID, str(wrong)) from wrong


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """RFC 8259 leaves repeated names open; two readers of one signed body must not disagree."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _never(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


#: Kept, because making one takes longer than reading a body with it.
_JSON: Final = json.JSONDecoder(object_pairs_hook=_once, parse_float=Decimal, parse_constant=_never)


def units(amount: object, decimals: int) -> int:
    """Minor units of an amount as it stood in JSON. Refused INVALID; zero is refused by pricing."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise Refused(No.INVALID, "amount is neither text nor a number")
    try:
        return from_wire(str(amount) if isinstance(amount, int) else amount, decimals)
    except BadAmount as wrong:
        raise Refused(No.INVALID, str(wrong)) from wrong


def asset(registry: Registry, text: str) -> Asset:
    """The asset of an id, any case, or of one of its aliases. Refused INVALID.

    Spellings of other dialects are not taken: "USDT" means another network in each of them.
    """
    word = text.lower()
    found = registry.find(word)
    if found is None or (word != found.code and word not in found.aliases):
        raise Refused(No.INVALID, "no such asset")
    return found


def agrees(registry: Registry, asset: Asset, network: str | None) -> None:
    """Refused INVALID when a named network contradicts the asset's own (contract D21)."""
    own = registry.network_of(asset)
    if network is not None and network.lower() not in (own.key, own.name.lower()):
        raise Refused(No.INVALID, "the network contradicts the asset")


def currency(registry: Registry, asset: Asset) -> Currency:
    """One line of /currencies."""
    return Currency(
        code=asset.code,
        coin=asset.coin,
        network=registry.network_of(asset).name,
        name=asset.name,
        recv=True,
        send=True,
        tag=asset.tag,
        logo=None,
        color=None,
        min_amount=None,
        max_amount=None,
        precision=asset.decimals,
    )


def price(registry: Registry, priced: Priced) -> Price:
    """A quote in the words of /price; amounts are "0" where nothing can be had (contract D14)."""
    quote = priced.quote
    src, dst = quote.src, quote.dst
    rate = show_rate(quote.rate, src.decimals, dst.decimals)
    closed = not CLOSED.isdisjoint(priced.troubles)
    btc = quote.from_btc_units
    return Price(
        from_=PriceFrom(
            code=src.code,
            coin=src.coin,
            network=registry.network_of(src).name,
            amount="0" if closed else show(quote.from_units, src.decimals),
            rate=rate,
            precision=src.decimals,
            min=show(quote.min_units, src.decimals),
            max=show(quote.max_units, src.decimals),
            usd=show_usd(quote.from_usd),
            btc="0" if btc is None else show(btc, 8),
        ),
        to=PriceTo(
            code=dst.code,
            coin=dst.coin,
            network=registry.network_of(dst).name,
            amount="0" if closed else show(quote.to_units, dst.decimals),
            rate=rate,
            precision=dst.decimals,
            min=show(quote.to_min_units, dst.decimals),
            max=show(quote.to_max_units, dst.decimals),
            usd=show_usd(quote.to_usd),
        ),
        errors=[word for trouble in priced.troubles for word in PRICE_ERROR[trouble]],
        markup_bps=quote.markup_bps,
    )


def created(registry: Registry, opened: Opened) -> Created:
    """The answer of /create."""
    dto = order_dto(opened.view, registry)
    return Created(**{f: getattr(dto, f) for f in OrderDto.__struct_fields__}, token=opened.token)


def named_order(ask: FindAsk) -> tuple[uuid.UUID, str]:
    """Id and token as they were sent. Refused NOT_FOUND when they cannot be any order's."""
    if not (ORDER_ID.fullmatch(ask.id) and TOKEN.fullmatch(ask.token)):
        raise Refused(No.NOT_FOUND, "malformed id or token")
    return uuid.UUID(ask.id), ask.token


def success(data: object) -> bytes:
    """The envelope of a success."""
    return msgspec.json.encode(Envelope(0, "", data))
