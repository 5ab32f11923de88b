"""The vault's side of the link: it asks the desk's private listener, and listens on nothing.

Every request is signed with the link key; every answer is size-capped and decoded into the exact
shapes of `handoff`. An answer is never trusted further: the vault looks at its own nodes.
"""

import uuid
from collections.abc import Sequence
from typing import Final, TypeVar

import aiohttp
import msgspec
import yarl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swapdesk.handoff import (
    HEADER_NONCE,
    HEADER_SIGN,
    HEADER_TIME,
    LINK_BODY_BYTES_MAX,
    LINK_PATH,
    PAGE_ROWS_MAX,
    Acknowledged,
    Beat,
    Binding,
    Bindings,
    BindingsAcknowledged,
    Deposits,
    DepositsAsk,
    IntentKey,
    Intents,
    IntentsAcknowledged,
    Nothing,
    OrderDeposits,
    PayoutIntent,
    PayoutReport,
    ReportKey,
    Reports,
    ReportsAccepted,
    link_bytes,
)
from swapdesk.money import UNITS_END
from swapdesk.world import World

T = TypeVar("T")

CALL_SECONDS_MAX: Final = 10
CONNECT_SECONDS_MAX: Final = 3
NONCE_BYTES: Final = 16
OK: Final = 200
#: Longest text of any field; addresses and ids are far shorter.
FIELD_CHARS_MAX: Final = 256
ATTEMPT_MAX: Final = 1_000_000


class LinkTrouble(Exception):
    """The desk did not answer, or not in the shape agreed. Try again later."""


class Link:
    """Each public async method is one call: idempotent, so it may be repeated after any crash."""

    def __init__(self, desk_url: str, key: Ed25519PrivateKey, world: World) -> None:
        """`desk_url` is the private listener, "http://127.0.0.1:8081". ValueError if it is none."""
        self._url = yarl.URL(desk_url)
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("desk_url is an http or https address")
        self._key = key
        self._world = world
        self._session: aiohttp.ClientSession | None = None

    async def bindings(self) -> tuple[Binding, ...]:
        """One page of bindings that the desk holds for not acknowledged."""
        rows = (await self._call("bindings", Nothing(), Bindings)).rows
        _check(rows, [row.order_id for row in rows])
        return rows

    async def acknowledge_bindings(self, rows: Sequence[Acknowledged]) -> None:
        """These are stored; with the vault's attestation of each."""
        await self._call("bindings/acknowledge", BindingsAcknowledged(tuple(rows)), Nothing)

    async def intents(self) -> tuple[PayoutIntent, ...]:
        """One page of live intents that the desk holds for not acknowledged."""
        rows = (await self._call("intents", Nothing(), Intents)).rows
        _check(rows, [row.order_id for row in rows])
        for row in rows:
            if not (0 < row.units < UNITS_END and 0 < row.covers_units < UNITS_END):
                raise LinkTrouble(f"intent of {row.order_id} has impossible units")
            if not 0 < row.attempt <= ATTEMPT_MAX:
                raise LinkTrouble(f"intent of {row.order_id} has an impossible attempt")
        return rows

    async def acknowledge_intents(self, rows: Sequence[IntentKey]) -> None:
        """These are stored."""
        await self._call("intents/acknowledge", IntentsAcknowledged(tuple(rows)), Nothing)

    async def deposits(self, order_ids: Sequence[str]) -> tuple[OrderDeposits, ...]:
        """Where the deposits of these orders (one page at most) stand now."""
        asked = tuple(order_ids[:PAGE_ROWS_MAX])
        rows = (await self._call("deposits", DepositsAsk(asked), Deposits)).rows
        _check(rows, [row.order_id for row in rows])
        if not {row.order_id for row in rows} <= set(asked):
            raise LinkTrouble("deposits of an order that nobody asked for")
        return rows

    async def reports(self, rows: Sequence[PayoutReport]) -> tuple[ReportKey, ...]:
        """Tell what became of intents; which of these reports the desk has."""
        return (await self._call("reports", Reports(tuple(rows)), ReportsAccepted)).accepted

    async def beat(self, beat: Beat) -> None:
        """A sign of life with the reserves."""
        await self._call("beat", beat, Nothing)

    async def close(self) -> None:
        """Release the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, name: str, ask: msgspec.Struct, shape: type[T]) -> T:
        path, body = LINK_PATH + name, msgspec.json.encode(ask)
        raw = await self._post(path, body, self._headers(path, body))
        try:
            return msgspec.json.decode(raw, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            raise LinkTrouble(f"{name}: answer in another shape: {wrong}") from None

    def _headers(self, path: str, body: bytes) -> dict[str, str]:
        now, nonce = self._world.now(), self._world.bytes(NONCE_BYTES).hex()
        signature = self._key.sign(link_bytes("POST", path, now, nonce, body))
        return {
            "content-type": "application/json",
            HEADER_TIME: str(now),
            HEADER_NONCE: nonce,
            HEADER_SIGN: signature.hex(),
        }

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=CALL_SECONDS_MAX, sock_connect=CONNECT_SECONDS_MAX
                ),
                trust_env=False,
            )
        raw = bytearray()
        try:
            async with self._session.post(
                self._url.with_path(path), data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status != OK:
                    raise LinkTrouble(f"{path}: HTTP {response.status}")
                async for chunk in response.content.iter_any():
                    raw += chunk
                    if len(raw) > LINK_BODY_BYTES_MAX:
                        raise LinkTrouble(f"{path}: answer is too long")
        except (aiohttp.ClientError, TimeoutError, OSError) as trouble:
            raise LinkTrouble(f"{path}: {type(trouble).__name__}") from None
        return bytes(raw)


def _check(rows: Sequence[msgspec.Struct], order_ids: Sequence[str]) -> None:
    """One page, ids in their one spelling, no endless text. Raises LinkTrouble."""
    if len(rows) > PAGE_ROWS_MAX:
        raise LinkTrouble(f"a page of {len(rows)} rows")
    for order_id in order_ids:
        try:
            good = str(uuid.UUID(order_id)) == order_id
        except ValueError:
            good = False
        if not good:
            raise LinkTrouble("an order id that is no UUID")
    for row in rows:
        if not _plain(row):
            raise LinkTrouble("a field that is too long, or with unprintable characters")


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= FIELD_CHARS_MAX and value.isprintable()
    if isinstance(value, msgspec.Struct):
        return all(map(_plain, msgspec.structs.astuple(value)))
    return not isinstance(value, tuple) or all(map(_plain, value))
