"""A desk as the vault sees it: a real HTTP listener that speaks the link from lists of rows.

It checks signatures, times and nonces as the desk does, offers what is not acknowledged, and keeps
what it is told. A test is the hostile desk by editing the lists.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swapdesk.handoff import (
    HEADER_NONCE,
    HEADER_SIGN,
    HEADER_TIME,
    LINK_BODY_BYTES_MAX,
    LINK_CLOCK_SKEW_MS,
    LINK_PATH,
    PAGE_ROWS_MAX,
    Beat,
    Binding,
    Bindings,
    BindingsAcknowledged,
    Deposit,
    Deposits,
    DepositsAsk,
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
from swapdesk.world import World


class DeskDouble:
    """Rows to offer, and rows received."""

    def __init__(self, link_key: Ed25519PublicKey, world: World) -> None:
        self._key, self._world = link_key, world
        self._nonces: set[str] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.bindings: list[Binding] = []
        self.intents: list[PayoutIntent] = []
        self.attestations: dict[str, str] = {}
        self.acknowledged: set[tuple[str, int]] = set()
        self.reports: list[PayoutReport] = []  #: in order of first arrival, each once
        self.deposits: dict[str, tuple[Deposit, ...]] = {}
        self.beats: list[Beat] = []
        self.down = False  #: True: every call is answered with 503

    async def start(self) -> None:
        """Listen on a free loopback port."""
        app = web.Application(client_max_size=LINK_BODY_BYTES_MAX)
        app.router.add_post(LINK_PATH + "{call:.+}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def outcomes(self, order_id: str, attempt: int = 1) -> list[str]:
        """What was reported about an intent, in order."""
        return [r.outcome for r in self.reports if (r.order_id, r.attempt) == (order_id, attempt)]

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.down:
            return web.Response(status=503)
        if not self._signed(request, body):
            return web.Response(status=401)
        call = request.match_info["call"].replace("/", "_")
        verb: Callable[[bytes], Awaitable[Any]] | None = getattr(self, f"call_{call}", None)
        if verb is None:
            return web.Response(status=404)
        return web.Response(body=msgspec.json.encode(await verb(body)))

    def _signed(self, request: web.Request, body: bytes) -> bool:
        time_ms, nonce = int(request.headers[HEADER_TIME]), request.headers[HEADER_NONCE]
        if nonce in self._nonces or abs(self._world.now() - time_ms) > LINK_CLOCK_SKEW_MS:
            return False
        self._nonces.add(nonce)
        said = link_bytes(request.method, request.path, time_ms, nonce, body)
        try:
            self._key.verify(bytes.fromhex(request.headers[HEADER_SIGN]), said)
        except InvalidSignature:
            return False
        return True

    async def call_bindings(self, body: bytes) -> Bindings:
        """What is not acknowledged."""
        msgspec.json.decode(body, type=Nothing)
        rows = [b for b in self.bindings if b.order_id not in self.attestations]
        return Bindings(tuple(rows[:PAGE_ROWS_MAX]))

    async def call_bindings_acknowledge(self, body: bytes) -> Nothing:
        """Keep the attestations."""
        for row in msgspec.json.decode(body, type=BindingsAcknowledged).rows:
            self.attestations[row.order_id] = row.attestation
        return Nothing()

    async def call_intents(self, body: bytes) -> Intents:
        """Live and not acknowledged."""
        msgspec.json.decode(body, type=Nothing)
        rows = [i for i in self.intents if (i.order_id, i.attempt) not in self.acknowledged]
        return Intents(tuple(rows[:PAGE_ROWS_MAX]))

    async def call_intents_acknowledge(self, body: bytes) -> Nothing:
        """Do not offer these again."""
        for row in msgspec.json.decode(body, type=IntentsAcknowledged).rows:
            self.acknowledged.add((row.order_id, row.attempt))
        return Nothing()

    async def call_deposits(self, body: bytes) -> Deposits:
        """Where deposits stand now."""
        asked = msgspec.json.decode(body, type=DepositsAsk).order_ids
        return Deposits(
            tuple(
                OrderDeposits(each, self.deposits[each]) for each in asked if each in self.deposits
            )
        )

    async def call_reports(self, body: bytes) -> ReportsAccepted:
        """Take every report, each once."""
        rows = msgspec.json.decode(body, type=Reports).rows
        for row in rows:
            same = [
                r
                for r in self.reports
                if (r.order_id, r.attempt, r.outcome) == (row.order_id, row.attempt, row.outcome)
            ]
            assert same in ([], [row]), f"a report changed: {same} {row}"
            self.reports += [] if same else [row]
        return ReportsAccepted(tuple(ReportKey(r.order_id, r.attempt, r.outcome) for r in rows))

    async def call_beat(self, body: bytes) -> Nothing:
        """Keep the newest signs of life."""
        self.beats.append(msgspec.json.decode(body, type=Beat))
        return Nothing()
