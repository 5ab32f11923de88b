"""`swapdesk web`: both listeners of one site in one process. Run as many as you like."""

import asyncio
import gc
from typing import Final

import structlog

from swapdesk.build import open_desk
from swapdesk.jobs import repeat
from swapdesk.partners.secrets import read_key_file
from swapdesk.settings import Site
from swapdesk.web.app import private_app, public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.serve import bind, serve

#: How often the stock of pay-in addresses is looked at.
STOCK_SECONDS: Final = 0.2

log = structlog.get_logger()


async def serve_site(site: Site, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. BadSettings, NoDatabase, Unsealable, or OSError for an address."""
    sealer = read_key_file(site.sealing_key_file)
    vault_key = bytes.fromhex(site.vault_public().link_key)
    desk = await open_desk(site, name="swapdesk-web")
    try:
        metrics = Metrics()
        strangers = site.strangers
        bucket = PublicBucket(
            desk.world, per_address=strangers.per_address, everybody=strangers.everybody
        )
        public = bind(site.public.host, site.public.port)
        private = bind(site.private.host, site.private.port)
        for name, listening in (("public", public), ("private", private)):
            host, port = listening.getsockname()[:2]
            log.info("listening", listener=name, host=host, port=port)
        apps = [
            (public_app(desk, sealer, metrics, bucket=bucket, origin=site.base_url), public),
            (private_app(desk, vault_key, metrics), private),
        ]
        # What was built so far lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()
        async with asyncio.TaskGroup() as tasks:
            fill = repeat("addresses", STOCK_SECONDS, lambda: desk.pay_in.fill(desk.db), stop)
            tasks.create_task(fill)
            await serve(apps, trusted_proxies=site.trusted_proxies, stop=stop)
    finally:
        await desk.db.close()
