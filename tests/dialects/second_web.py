"""Another web process of a site: its own connections and its own memory, the same database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from swapdesk.db import Database
from swapdesk.engine.desk import Desk
from swapdesk.web.app import public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.serve import bind, serve
from tests.http_site import Site


@asynccontextmanager
async def second_web(site: Site, dsn: str) -> AsyncIterator[str]:
    """Its base URL. It shares nothing with the first but the clock."""
    db, first, stop = await Database.open(dsn, name="second"), site.rig.desk, asyncio.Event()
    desk = Desk(
        db=db, world=first.world, registry=first.registry, terms=first.terms, pay_in=first.pay_in
    )
    with bind("127.0.0.1", 0) as listening:
        app = public_app(desk, site.sealer, Metrics())
        serving = asyncio.create_task(serve([(app, listening)], stop=stop))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()
            await serving
            await db.close()
