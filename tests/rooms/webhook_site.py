"""A desk with a partner who listens, for the tests of webhooks: real HTTP on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.webhook_keys import SealedSecrets
from swapdesk.orders.order import Order
from swapdesk.partners.partner import Credentials
from swapdesk.partners.secrets import Sealer
from swapdesk.webhooks.deliver import Client, Courier
from swapdesk.webhooks.outbox import LANES_MAX
from tests.http_site import SEALING_KEYS, Clock
from tests.rig import NOON, Rig, rig_on


@dataclass
class Receiver:
    """A partner's endpoint that keeps what it gets and answers as told."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  #: answered in turn; then 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    answering: asyncio.Event = field(default_factory=asyncio.Event)  #: cleared: nobody is answered
    open_now: int = 0
    most_open: int = 0

    async def take(self, request: web.Request) -> web.Response:
        """Keep and answer."""
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        self.got.append((dict(request.headers), await request.read()))
        await asyncio.sleep(0.02)
        await self.answering.wait()
        self.open_now -= 1
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=self.body, headers=self.headers)

    def statuses_told(self) -> list[str]:
        """The order statuses received, in order."""
        return [json.loads(body)["order"]["status"] for _, body in self.got]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A listening endpoint."""
    made = Receiver()
    made.answering.set()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield made
    finally:
        made.answering.set()
        await runner.cleanup()


@dataclass
class Post:
    """A desk whose partner listens, and what delivers to it."""

    rig: Rig
    partner: Credentials
    sealer: Sealer

    @asynccontextmanager
    async def courier(
        self, *, allow_loopback: bool = True, lanes: int = LANES_MAX
    ) -> AsyncIterator[Courier]:
        """What one worker process has."""
        opener = SealedSecrets(self.sealer)
        async with (
            Client(allow_loopback=allow_loopback) as client,
            Courier(self.rig.desk.db, self.rig.world, opener, client, lanes=lanes) as courier,
        ):
            yield courier

    async def deliver(self, *, allow_loopback: bool = True) -> int:
        """One round, to its end; how many deliveries were tried."""
        async with self.courier(allow_loopback=allow_loopback) as courier:
            return await courier.round()

    async def order(self) -> Order:
        """An order of this partner."""
        self.rig.partner_id = self.partner.partner_id
        return (await self.rig.open()).view.order

    async def paid_in(self) -> Order:
        """An order that went NEW, PENDING, EXCHANGE."""
        order = await self.order()
        self.rig.pay(order)
        await self.rig.look()
        await self.rig.mine(count=2)
        return order

    async def events(self) -> list[tuple[str, int, bool, bool]]:
        """(status, attempts, delivered, dead) of every event that is delivered, oldest first."""
        async with self.rig.desk.db.transaction() as tx:
            rows = await tx.fetch(
                "SELECT v.status, d.* FROM webhook_delivery d"
                " JOIN webhook_event v ON v.id = d.event_id ORDER BY d.created_ms"
            )
        return [
            (r["status"], r["attempt"], r["delivered_ms"] is not None, r["dead_ms"] is not None)
            for r in rows
        ]


@asynccontextmanager
async def post_on(dsn: str, url: str | None, now: int = NOON) -> AsyncIterator[Post]:
    sealer = Sealer(SEALING_KEYS)
    async with rig_on(dsn, now=now) as rig:
        rig.world.token = Clock().token  # type: ignore[method-assign]
        partner = await create_partner(rig.desk, sealer, name="wallet", webhook_url=url)
        yield Post(rig, partner, sealer)
