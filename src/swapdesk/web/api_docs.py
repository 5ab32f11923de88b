"""What a partner's developer reads: /openapi.json, and the same drawn by Redoc at /docs.

The document is written in docs/partner/openapi.yaml. Nothing is loaded from another host, and the
page may run no script and use no style but its own.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Page

from swapdesk.world import World

NONCE_BYTES: Final = 16
_HERE: Final = Path(__file__).parent

#: Redoc draws with style sheets made on the fly, which the nonce allows, but for two that it makes
#: before it is told; and it searches in a worker that it makes from a blob.
_FIRST_STYLES: Final = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; "
    f"style-src 'nonce-{{nonce}}' {_FIRST_STYLES}; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Partner API</title>
<link rel="icon" href="data:,">
<style nonce="{nonce}">body {{ margin: 0; font-family: system-ui, sans-serif }}</style>
<div id="api"><noscript>The description is in <a href="/openapi.json">/openapi.json</a>.</noscript></div>
<script src="/docs/redoc.js"></script>
<script src="/docs/start.js" nonce="{nonce}"></script>
</html>
"""
_START: Final = b"""Redoc.init("/openapi.json", {
  nonce: document.currentScript.nonce,
  expandResponses: "200",
  jsonSampleExpandLevel: 4,
  nativeScrollbars: true,
  requiredPropsFirst: true,
  theme: {
    colors: { primary: { main: "#1f5f8b" } },
    typography: {
      fontFamily: "system-ui, sans-serif",
      headings: { fontFamily: "system-ui, sans-serif" },
      code: { fontFamily: "ui-monospace, monospace" },
    },
  },
}, document.getElementById("api"));
"""


class Kept(msgspec.Struct, frozen=True):
    """One file as it goes out."""

    body: bytes
    gzipped: bytes
    etag: str  #: with its quotes
    kind: str


class ApiDocs:
    """The pages; they are the same for everybody."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Page]:
        """GET and HEAD, unsigned, of no weight."""
        return [
            Page("/docs", self._page),
            *(Page(path, _serve(read)) for path, read in FILES.items()),
        ]

    async def _page(self, _request: Request) -> Response:
        nonce = self._world.token(NONCE_BYTES)
        headers = {
            "content-security-policy": POLICY.format(nonce=nonce),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return Response(_PAGE.format(nonce=nonce), headers=headers, media_type="text/html")


@cache
def document() -> Kept:
    """The description of the API."""
    return _keep((_HERE / "openapi.json").read_bytes(), "application/json")


@cache
def _redoc() -> Kept:
    path = _HERE / "vendor" / "redoc.standalone.js"
    return _keep(path.read_bytes(), "text/javascript; charset=utf-8")


@cache
def _start() -> Kept:
    return _keep(_START, "text/javascript; charset=utf-8")


FILES: Final[Mapping[str, Callable[[], Kept]]] = {
    "/openapi.json": document,
    "/docs/redoc.js": _redoc,
    "/docs/start.js": _start,
}


def _keep(body: bytes, kind: str) -> Kept:
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return Kept(body, gzip.compress(body, mtime=0), etag, kind)


def _serve(read: Callable[[], Kept]) -> Callable[[Request], object]:
    async def file(request: Request) -> Response:
        kept = await asyncio.to_thread(read)  # the first one compresses a megabyte
        headers = {
            "content-type": kept.kind,
            "etag": kept.etag,
            "cache-control": "no-cache",  # keep it, but ask whether it is still right
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if kept.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(kept.gzipped, headers={**headers, "content-encoding": "gzip"})
        return Response(kept.body, headers=headers)

    return file
