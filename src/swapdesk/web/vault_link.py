"""The vault's link: what it pulls and what it tells, on the private listener.

Every request is a POST signed with the vault's Ed25519 key over

    method \\n path \\n time \\n nonce \\n sha256hex(body)

in the headers X-Vault-Time (milliseconds), X-Vault-Nonce (32 hex) and X-Vault-Sign (hex). Time
may be off by LINK_CLOCK_SKEW_MS; a nonce is burnt once. The desk never calls the vault.
"""

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from swapdesk.engine import handover
from swapdesk.engine.desk import Desk
from swapdesk.engine.note_payout import note_reports
from swapdesk.handoff import (
    LINK_BODY_BYTES_MAX,
    LINK_CLOCK_SKEW_MS,
    PAGE_ROWS_MAX,
    Acknowledged,
    Beat,
    Deposit,
    Outcome,
    PayoutReport,
)
from swapdesk.web.call import ClientGone, call_of, read_body

T = TypeVar("T")

PREFIX: Final = "/vault/v1/"
_TIME: Final = re.compile(r"[0-9]{1,16}")
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_SIGN: Final = re.compile(r"[0-9a-f]{128}")
#: An Ed25519 signature in hex.
_ATTESTATION: Final = _SIGN

log = structlog.get_logger()


class LinkRefused(Exception):
    """The request is not taken. `status` is the HTTP status, the text is for both logs."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acknowledged bindings."""

    rows: tuple[Acknowledged, ...]


class IntentKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One intent."""

    order_id: str
    attempt: int


class IntentRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acknowledged intents, as objects or as [order_id, attempt]."""

    rows: tuple[IntentKey | tuple[str, int], ...]


class OrderIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Orders whose deposits the vault wants to look at again."""

    order_ids: tuple[str, ...]


class DepositsRow(msgspec.Struct, frozen=True):
    """Where the money of one order is."""

    order_id: str
    deposits: list[Deposit]


class ReportRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of some intents."""

    rows: tuple[PayoutReport, ...]


class AcceptedKey(msgspec.Struct, frozen=True):
    """A report the desk has carried out, or had before."""

    order_id: str
    attempt: int
    outcome: Outcome


def signed_bytes(method: str, path: str, time_ms: str, nonce: str, body: bytes) -> bytes:
    """What the vault signs."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{method}\n{path}\n{time_ms}\n{nonce}\n{digest}".encode()


class VaultLink:
    """The seven calls of the link."""

    def __init__(self, desk: Desk, public_key: bytes) -> None:
        """`public_key`: the vault's 32 bytes, fixed when it was initialised."""
        self._desk = desk
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    def routes(self) -> list[Route]:
        """One route per call."""
        calls: dict[str, Callable[[bytes], Awaitable[object]]] = {
            "bindings": self.bindings,
            "bindings/acknowledge": self.acknowledge,
            "intents": self.intents,
            "intents/acknowledge": self.acknowledge_intents,
            "deposits": self.deposits,
            "reports": self.reports,
            "beat": self.beat,
        }
        return [
            Route(PREFIX + name, self._endpoint(work), methods=["POST"])
            for name, work in calls.items()
        ]

    def _endpoint(
        self, work: Callable[[bytes], Awaitable[object]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                answer = await work(await self._verified(request))
            except LinkRefused as no:
                log.warning("link refused", path=request.url.path, why=str(no))
                return _json({"error": str(no)}, no.status)
            except ClientGone:
                return _json({"error": "gone"}, 400)
            return _json(answer, 200)

        return endpoint

    async def _verified(self, request: Request) -> bytes:
        """The body, once time, signature and nonce are right."""
        body = await read_body(call_of(request.scope, request.receive), LINK_BODY_BYTES_MAX)
        if body is None:
            raise LinkRefused(400, "body too long")
        headers = request.headers
        time_ms, nonce = headers.get("x-vault-time", ""), headers.get("x-vault-nonce", "")
        sign = headers.get("x-vault-sign", "")
        if not (_TIME.fullmatch(time_ms) and _NONCE.fullmatch(nonce) and _SIGN.fullmatch(sign)):
            raise LinkRefused(401, "not signed")
        message = signed_bytes(request.method, request.url.path, time_ms, nonce, body)
        try:
            self._key.verify(bytes.fromhex(sign), message)
        except InvalidSignature as wrong:
            raise LinkRefused(401, "wrong signature") from wrong
        if abs(self._desk.world.now() - int(time_ms)) > LINK_CLOCK_SKEW_MS:
            raise LinkRefused(401, "the clocks of vault and desk are apart")
        if not await handover.burn_link_nonce(self._desk, nonce):
            raise LinkRefused(401, "replayed")
        return body

    async def bindings(self, _body: bytes) -> object:
        """Bindings the vault has not stored yet."""
        return {"rows": await handover.unbound(self._desk)}

    async def acknowledge(self, body: bytes) -> object:
        """The vault has stored these bindings."""
        rows = _read(body, Rows).rows
        _orders(row.order_id for row in rows)
        if not all(_ATTESTATION.fullmatch(row.attestation) for row in rows):
            raise LinkRefused(400, "an attestation is a signature in hex")
        await handover.acknowledge(self._desk, rows)
        return {}

    async def intents(self, _body: bytes) -> object:
        """Intents the vault has not stored yet."""
        return {"rows": await handover.intents(self._desk)}

    async def acknowledge_intents(self, body: bytes) -> object:
        """The vault has stored these intents."""
        rows = [
            row if isinstance(row, tuple) else (row.order_id, row.attempt)
            for row in _read(body, IntentRows).rows
        ]
        _orders(order_id for order_id, _ in rows)
        await handover.acknowledge_intents(self._desk, rows)
        return {}

    async def deposits(self, body: bytes) -> object:
        """Where the money of some orders is now."""
        wanted = _orders(_read(body, OrderIds).order_ids)
        found = await handover.deposits_of(self._desk, wanted)
        return {"rows": [DepositsRow(*each) for each in found.items()]}

    async def reports(self, body: bytes) -> object:
        """What became of some intents. A report moves an order only if the engine accepts it."""
        rows = _read(body, ReportRows).rows
        _orders(row.order_id for row in rows)
        accepted = await note_reports(self._desk, rows)
        return {"accepted": [AcceptedKey(r.order_id, r.attempt, r.outcome) for r in accepted]}

    async def beat(self, body: bytes) -> object:
        """A sign of life. 409 tells a vault that a newer one has spoken."""
        if not await handover.note_beat(self._desk, _read(body, Beat)):
            raise LinkRefused(409, "fenced: a newer vault has spoken")
        return {}


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as wrong:
        raise LinkRefused(400, str(wrong)) from wrong


def _orders(ids: Iterable[str]) -> list[str]:
    """The ids, each a UUID, at most a page of them."""
    known = list(ids)
    if len(known) > PAGE_ROWS_MAX:
        raise LinkRefused(400, f"more than {PAGE_ROWS_MAX} rows")
    try:
        for each in known:
            uuid.UUID(each)
    except ValueError as wrong:
        raise LinkRefused(400, "an order id is a UUID") from wrong
    return known


def _json(value: object, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
