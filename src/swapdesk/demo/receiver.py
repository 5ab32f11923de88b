"""A partner's webhook receiver: checks signature and age, drops repeats, hands each event on."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from swapdesk.demo.partner import webhook_is_genuine
from swapdesk.world import World

#: Largest body read; ours are about 1 kB.
BODY_BYTES_MAX: Final = 256 * 1024
PATH: Final = "/hooks"


class Receiver:
    """Listens on a free loopback port. `secret` is set once the partner exists.

    `told` is called with the order of every genuine, new order.status_changed; `refused` counts
    what failed the check, `repeated` what came twice.
    """

    def __init__(self, world: World, told: Callable[[dict[str, Any]], None]) -> None:
        self.secret: str | None = None
        self.url = ""
        self.refused = 0
        self.repeated = 0
        self.statuses: dict[str, list[str]] = {}  #: order id -> statuses in the order they came
        self._world = world
        self._told = told
        self._seen: set[tuple[str, str]] = set()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post(PATH, self._take)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{PATH}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        signature = request.headers.get("X-Partner-Webhook-Sign", "")
        stamp = request.headers.get("X-Partner-Webhook-Timestamp", "")
        genuine = self.secret is not None and webhook_is_genuine(
            self.secret, body, signature, stamp, self._world.now()
        )
        if not genuine:
            self.refused += 1
            return web.Response(status=401)
        event = msgspec.json.decode(body)
        if event["event"] == "order.status_changed":
            self._note(event["order"])
        return web.Response(status=204)

    def _note(self, order: dict[str, Any]) -> None:
        key = (order["id"], order["status"])
        if key in self._seen:
            self.repeated += 1
            return
        self._seen.add(key)
        self.statuses.setdefault(order["id"], []).append(order["status"])
        self._told(order)
