"""One HTTP call as the hot endpoints see it: a few headers, the raw body, an answer."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

#: Longest request body of a partner (contract D7).
BODY_BYTES_MAX: Final = 64 * 1024
#: What is read and thrown away of a longer one, so that its sender gets to see the answer.
DRAIN_BYTES_MAX: Final = 2 * 1024 * 1024
#: How long a body may take to arrive.
BODY_SECONDS_MAX: Final = 10

JSON: Final = (b"content-type", b"application/json")
#: The headers that mean anything here; all others are never looked at.
WANTED: Final = frozenset(
    {
        b"x-api-key", b"x-api-sign", b"x-api-nonce", b"idempotency-key", b"content-length",
        b"x-api-sign-v2", b"signature", b"signature-input",
    }
)  # fmt: skip


class Call(msgspec.Struct, frozen=True):
    """Who called and with what. Header names are lower case; a repeated one is joined (RFC 9110)."""

    headers: Mapping[bytes, bytes]
    peer: str  #: address of the caller, "" when unknown
    receive: Receive
    scope: Scope  #: all of the request as ASGI has it, for signatures that cover more


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Status, body, and headers besides the content's type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    code: int = 0  #: what the dialect says; for the metrics


class ClientGone(Exception):
    """The caller hung up; nobody is there for an answer."""


NO_HEADERS: Final[Mapping[bytes, bytes]] = MappingProxyType({})


def call_of(scope: Scope, receive: Receive) -> Call:
    """The call behind an ASGI scope."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in WANTED:
            known = headers.get(name)
            headers[name] = value if known is None else known + b", " + value
    client = scope.get("client")
    return Call(headers, client[0] if client else "", receive, scope)


async def read_body(call: Call, limit: int = BODY_BYTES_MAX) -> bytes | None:
    """The raw body, or None when it is longer than `limit` or did not arrive in time.

    A body that is too long is read on up to DRAIN_BYTES_MAX and thrown away, never kept. Raises
    ClientGone.
    """
    first = await call.receive()
    if first["type"] == "http.disconnect":
        raise ClientGone
    if not first.get("more_body"):
        body: bytes = first.get("body", b"")
        return body if len(body) <= limit else None
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _rest_of(call, bytearray(first.get("body", b"")), limit)
    except TimeoutError:
        return None


async def _rest_of(call: Call, body: bytearray, limit: int) -> bytes | None:
    size = len(body)
    if _declared(call) > DRAIN_BYTES_MAX:
        return None
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            body += piece
        else:
            body.clear()
        if size > DRAIN_BYTES_MAX:
            return None
        if not message.get("more_body"):
            return bytes(body) if size <= limit else None


def _declared(call: Call) -> int:
    text = call.headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0  # noqa: PLR2004 - no int() of megabytes


async def send_answer(send: Send, answer: Answer) -> None:
    """Write an answer."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [JSON, (b"content-length", b"%d" % len(answer.body)), *answer.headers],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
