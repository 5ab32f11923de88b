"""`swapdesk web`: both listeners of one site in one process. Run as many as you like."""

import asyncio

import structlog

from swapdesk.build import open_desk
from swapdesk.partners.secrets import read_key_file
from swapdesk.settings import Site
from swapdesk.web.app import private_app, public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.serve import bind, serve

log = structlog.get_logger()


async def serve_site(site: Site, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. BadSettings, NoDatabase, Unsealable, or OSError for an address."""
    sealer = read_key_file(site.sealing_key_file)
    vault_key = bytes.fromhex(site.vault_public().link_key)
    desk = await open_desk(site, name="swapdesk-web")
    try:
        metrics = Metrics()
        public = bind(site.public.host, site.public.port)
        private = bind(site.private.host, site.private.port)
        for name, listening in (("public", public), ("private", private)):
            host, port = listening.getsockname()[:2]
            log.info("listening", listener=name, host=host, port=port)
        await serve(
            [
                (public_app(desk, sealer, metrics), public),
                (private_app(desk, vault_key, metrics), private),
            ],
            trusted_proxies=site.trusted_proxies,
            stop=stop,
        )
    finally:
        await desk.db.close()
