"""Feeds for listing sites: what can be had now, as XML, in two dialects (contract A11, D7).

    /api/rates.xml = /rates/float.xml   the network fee deducted from the trade of one coin
    /rates/bestchange.xml               BestChange 1.1: the network fee apart, in `tofee`

A document is drawn from one look at the desk, for every path at once, and kept for 10 seconds in
this process. `/rates/fixed.xml` does not exist: there are no fixed rates.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Page

from swapdesk.assets import Asset
from swapdesk.engine.desk import Desk
from swapdesk.engine.feed import Item, feed
from swapdesk.money import BPS, show

REFRESH_MS: Final = 10_000
#: Digits after the point of a rate that is no amount: monitors read no more.
RATE_DIGITS: Final = 12
HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>'
HEADERS: Final = {
    "content-type": "application/xml; charset=utf-8",
    "cache-control": "public, max-age=10",
    "access-control-allow-origin": "*",
}


class Document(msgspec.Struct, frozen=True):
    """One feed as it goes out."""

    body: bytes
    etag: str  #: with its quotes


class XmlFeed:
    """The feeds of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._drawing = asyncio.Lock()
        self._drawn: dict[str, Document] = {}
        self._drawn_ms: int | None = None

    def routes(self) -> list[Page]:
        """GET and HEAD, unsigned, of no weight."""
        return [
            Page("/api/rates.xml", self._page("feed")),
            Page("/rates/float.xml", self._page("feed")),
            Page("/rates/bestchange.xml", self._page("bestchange")),
        ]

    def _page(self, dialect: str) -> Callable[[Request], object]:
        async def page(request: Request) -> Response:
            document = await self._document(dialect)
            headers = {**HEADERS, "etag": document.etag}
            if _has(request.headers.get("if-none-match", ""), document.etag):
                return Response(status_code=304, headers=headers)
            return Response(document.body, headers=headers)

        return page

    async def _document(self, dialect: str) -> Document:
        """The document, at most REFRESH_MS old, drawn by one caller for all."""
        async with self._drawing:
            now = self._desk.world.now()
            if self._drawn_ms is None or now - self._drawn_ms >= REFRESH_MS:
                items = await feed(self._desk)
                self._drawn = {"feed": float_rates(items), "bestchange": bestchange(items)}
                self._drawn_ms = now
            return self._drawn[dialect]


def float_rates(items: Iterable[Item]) -> Document:
    """Our own dialect. A coin that its fees eat whole is left out."""
    lines = {}
    for item in items:
        quote = item.unit
        pair = _codes("feed", quote.src, quote.dst)
        if pair is None or quote.to_units <= 0:
            continue
        lines[pair] = _item(
            ("from", pair[0]),
            ("to", pair[1]),
            ("in", "1"),
            ("out", _plain(quote.to_units, quote.dst.decimals)),
            ("amount", _plain(item.reserve_units, quote.dst.decimals)),
            ("minamount", _plain(item.min_units, quote.src.decimals)),
            ("maxamount", _plain(item.max_units, quote.src.decimals)),
        )
    return _document(lines)


def bestchange(items: Iterable[Item]) -> Document:
    """BestChange 1.1. `out` is the rate after the base fee, so that it holds for every amount."""
    lines = {}
    for item in items:
        quote = item.unit
        pair = _codes("bestchange", quote.src, quote.dst)
        if pair is None:
            continue
        kept = (
            quote.rate.num * 10 ** (quote.src.decimals + RATE_DIGITS) * (BPS - quote.base_fee_bps)
        )
        rate = kept // (quote.rate.den * 10**quote.dst.decimals * BPS)
        lines[pair] = _item(
            ("from", pair[0]),
            ("to", pair[1]),
            ("in", "1"),
            ("out", _plain(rate, RATE_DIGITS)),
            ("amount", _plain(item.reserve_units, quote.dst.decimals)),
            ("frommin", _plain(item.min_units, quote.src.decimals)),
            ("frommax", _plain(item.max_units, quote.src.decimals)),
            ("tofee", _plain(quote.network_fee_units, quote.dst.decimals)),
        )
    return _document(lines)


def _codes(dialect: str, src: Asset, dst: Asset) -> tuple[str, str] | None:
    """The pair in a dialect; None when one side has no code there."""
    sent, received = src.spelling.get(dialect), dst.spelling.get(dialect)
    return (sent, received) if sent and received else None


def _item(*elements: tuple[str, str]) -> str:
    """Names and values need no escaping: codes of the registry and plain decimals."""
    return "<item>" + "".join(f"<{name}>{text}</{name}>" for name, text in elements) + "</item>"


def _document(lines: dict[tuple[str, str], str]) -> Document:
    """Sorted by from and to, so that the same offer is the same bytes in every process."""
    body = f"{HEAD}<rates>{''.join(lines[pair] for pair in sorted(lines))}</rates>".encode()
    return Document(body, f'"{hashlib.sha256(body).hexdigest()[:16]}"')


def _plain(units: int, decimals: int) -> str:
    """A decimal without zeros that mean nothing: 120000, 0.0002."""
    text = show(units, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _has(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names this document; tags compare weakly (RFC 9110 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags
