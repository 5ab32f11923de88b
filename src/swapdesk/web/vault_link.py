"""The vault's link: what it pulls and what it tells, on the private listener.

Every request is a POST, signed with the vault's Ed25519 key over `handoff.link_bytes`. Its time
may be off by LINK_CLOCK_SKEW_MS; its nonce is burnt once. The desk never calls the vault.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
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
    HEADER_NONCE,
    HEADER_SIGN,
    HEADER_TIME,
    LINK_BODY_BYTES_MAX,
    LINK_CLOCK_SKEW_MS,
    LINK_PATH,
    PAGE_ROWS_MAX,
    Beat,
    Bindings,
    BindingsAcknowledged,
    Deposits,
    DepositsAsk,
    Intents,
    IntentsAcknowledged,
    Nothing,
    OrderDeposits,
    ReportKey,
    Reports,
    ReportsAccepted,
    link_bytes,
)
from swapdesk.web.call import ClientGone, call_of, read_body

T = TypeVar("T")

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
            Route(LINK_PATH + name, self._endpoint(work), methods=["POST"])
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
        time_ms, nonce, sign = (
            request.headers.get(name, "") for name in (HEADER_TIME, HEADER_NONCE, HEADER_SIGN)
        )
        if not (_TIME.fullmatch(time_ms) and _NONCE.fullmatch(nonce) and _SIGN.fullmatch(sign)):
            raise LinkRefused(401, "not signed")
        message = link_bytes(request.method, request.url.path, int(time_ms), nonce, body)
        try:
            self._key.verify(bytes.fromhex(sign), message)
        except InvalidSignature as wrong:
            raise LinkRefused(401, "wrong signature") from wrong
        if abs(self._desk.world.now() - int(time_ms)) > LINK_CLOCK_SKEW_MS:
            raise LinkRefused(401, "the clocks of vault and desk are apart")
        if not await handover.burn_link_nonce(self._desk, nonce):
            raise LinkRefused(401, "replayed")
        return body

    async def bindings(self, body: bytes) -> Bindings:
        """Bindings the vault has not stored yet."""
        _read(body, Nothing)
        return Bindings(tuple(await handover.unbound(self._desk)))

    async def acknowledge(self, body: bytes) -> Nothing:
        """The vault has stored these bindings."""
        rows = _read(body, BindingsAcknowledged).rows
        _check_orders([row.order_id for row in rows])
        if not all(_ATTESTATION.fullmatch(row.attestation) for row in rows):
            raise LinkRefused(400, "an attestation is a signature in hex")
        await handover.acknowledge(self._desk, rows)
        return Nothing()

    async def intents(self, body: bytes) -> Intents:
        """Intents the vault has not stored yet."""
        _read(body, Nothing)
        return Intents(tuple(await handover.intents(self._desk)))

    async def acknowledge_intents(self, body: bytes) -> Nothing:
        """The vault has stored these intents."""
        rows = [(row.order_id, row.attempt) for row in _read(body, IntentsAcknowledged).rows]
        _check_orders([order_id for order_id, _ in rows])
        await handover.acknowledge_intents(self._desk, rows)
        return Nothing()

    async def deposits(self, body: bytes) -> Deposits:
        """Where the money of some orders is now."""
        wanted = _read(body, DepositsAsk).order_ids
        _check_orders(wanted)
        found = await handover.deposits_of(self._desk, wanted)
        return Deposits(tuple(OrderDeposits(key, tuple(rows)) for key, rows in found.items()))

    async def reports(self, body: bytes) -> ReportsAccepted:
        """What became of some intents. A report moves an order only if the engine accepts it."""
        rows = _read(body, Reports).rows
        _check_orders([row.order_id for row in rows])
        accepted = await note_reports(self._desk, rows)
        return ReportsAccepted(
            tuple(ReportKey(row.order_id, row.attempt, row.outcome) for row in accepted)
        )

    async def beat(self, body: bytes) -> Nothing:
        """A sign of life. 409 tells a vault that a newer one has spoken."""
        if not await handover.note_beat(self._desk, _read(body, Beat)):
            raise LinkRefused(409, "fenced: a newer vault has spoken")
        return Nothing()


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise LinkRefused(400, str(wrong)) from wrong


def _check_orders(ids: Sequence[str]) -> None:
    """At most a page of ids, each a UUID in its one spelling."""
    if len(ids) > PAGE_ROWS_MAX:
        raise LinkRefused(400, f"more than {PAGE_ROWS_MAX} rows")
    try:
        good = all(str(uuid.UUID(each)) == each for each in ids)
    except ValueError:
        good = False
    if not good:
        raise LinkRefused(400, "an order id is a UUID")


def _json(value: object, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
