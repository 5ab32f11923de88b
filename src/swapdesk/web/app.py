"""The two ASGI applications of `swapdesk web`: the public one and the private one.

Hot endpoints go through a plain dictionary, everything else through Starlette. Nothing here knows
a dialect's rules; nothing here decides.
"""

import time
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Page
from starlette.types import ASGIApp, Receive, Scope, Send

from swapdesk.engine.alive import alive
from swapdesk.engine.desk import Desk
from swapdesk.engine.figures import figures
from swapdesk.errors import No, Refused
from swapdesk.partners.secrets import Sealer
from swapdesk.web.api_docs import ApiDocs
from swapdesk.web.call import Answer, ClientGone, call_of, send_answer
from swapdesk.web.metrics import CONTENT_TYPE, Metrics
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.referral import Referral
from swapdesk.web.signed_v1 import CORS, Route, SignedV1, failure, refusal
from swapdesk.web.signed_v1_words import INTERNAL
from swapdesk.web.vault_link import VaultLink
from swapdesk.web.xml_feed import XmlFeed

#: Scripts of other sites may call the public endpoints with JSON, unsigned.
PREFLIGHT: Final = (
    CORS,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
)

log = structlog.get_logger()


class Ready(msgspec.Struct, frozen=True):
    """What /readyz says."""

    ready: bool
    database: bool
    rates: bool
    vault: bool
    networks: Mapping[str, bool]


def public_app(
    desk: Desk,
    sealer: Sealer,
    metrics: Metrics,
    *,
    bucket: PublicBucket | None = None,
    origin: str | None = None,
) -> ASGIApp:
    """What the internet sees: signed v1, feeds, referral links, /healthz, /readyz."""
    strangers = bucket or PublicBucket(desk.world)
    dialect = SignedV1(desk, sealer, strangers, origin)
    routes = dialect.routes()

    async def readyz(_request: Request) -> Response:
        state = await readiness(desk)
        return _json(msgspec.json.encode(state), 200 if state.ready else 503)

    rest = Starlette(
        routes=[
            Page("/healthz", _healthz),
            Page("/readyz", readyz),
            *XmlFeed(desk).routes(),
            *Referral(desk, sealer, strangers).routes(),
            *ApiDocs(desk.world).routes(),
        ],
        exception_handlers={HTTPException: _not_here, Exception: _broken},
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        methods = routes.get(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await rest(scope, receive, send)
            return
        started = time.perf_counter()
        try:
            answer = await _hot(dialect, methods, scope, receive)
        except ClientGone:
            return
        await send_answer(send, answer)
        name = next(iter(methods.values())).name
        metrics.answered(name, answer.code, time.perf_counter() - started)

    return app


async def _hot(
    dialect: SignedV1, methods: Mapping[str, Route], scope: Scope, receive: Receive
) -> Answer:
    route = methods.get(scope["method"])
    if route is not None:
        return await dialect.answer(route, call_of(scope, receive))
    if scope["method"] == "OPTIONS" and any(each.cors for each in methods.values()):
        return Answer(200, b"", PREFLIGHT)
    allow = (b"allow", ", ".join(methods).encode())
    return failure(405, 1, "INVALID_REQUEST", (allow,))


def private_app(desk: Desk, vault_key: bytes, metrics: Metrics) -> ASGIApp:
    """What only this host sees: the vault's link, /metrics, /healthz."""

    async def page(_request: Request) -> Response:
        return Response(metrics.page(await figures(desk)), headers={"content-type": CONTENT_TYPE})

    return Starlette(
        routes=[
            Page("/healthz", _healthz),
            Page("/metrics", page),
            *VaultLink(desk, vault_key).routes(),
        ],
        exception_handlers={HTTPException: _not_here, Exception: _broken},
    )


async def readiness(desk: Desk) -> Ready:
    """Whether this site can swap: database, rates, vault, and every network of the site."""
    networks = dict.fromkeys(desk.registry.networks, False)
    try:
        state = await alive(desk)
        rates = bool(desk.book(await desk.market()).prices)
    except Refused:  # no rates yet; everything else was read before
        rates = False
    except Exception:
        log.exception("not ready")
        return Ready(ready=False, database=False, rates=False, vault=False, networks=networks)
    networks |= dict.fromkeys(state.networks, True)
    vault = state.vault and state.vault_stopped is None
    ready = rates and vault and all(networks.values())
    return Ready(ready=ready, database=True, rates=rates, vault=vault, networks=networks)


async def _healthz(_request: Request) -> Response:
    """The process is alive; it says nothing of anything else."""
    return _json(b'{"alive":true}', 200)


async def _not_here(_request: Request, wrong: Exception) -> Response:
    """Unknown paths are code 6, wrong methods code 1 (contract D9)."""
    status = wrong.status_code if isinstance(wrong, HTTPException) else 404
    no = Refused(No.NOT_FOUND if status == 404 else No.INVALID)  # noqa: PLR2004 - HTTP's own number
    headers = dict(getattr(wrong, "headers", None) or {})
    return _json(refusal(no).body, status, headers)


async def _broken(_request: Request, _wrong: Exception) -> Response:
    """Our own bug: Starlette raises it again for the log, the caller gets no detail."""
    return _json(failure(*INTERNAL).body, INTERNAL[0])


def _json(body: bytes, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
