"""The worker: everything that happens without a request, in one process. Run as many as you like."""

import asyncio
import uuid
from typing import Final

import structlog

from swapdesk.build import open_desk
from swapdesk.chains.connect import open_reader
from swapdesk.jobs import rates_round, repeat, sweep_round, timers_round
from swapdesk.partners.secrets import Place, read_key_file
from swapdesk.rates.fixed import FixedSource
from swapdesk.rates.source import RateSource
from swapdesk.settings import BadSettings, Site
from swapdesk.watch import Watcher
from swapdesk.webhooks.deliver import Client, deliver_due

log = structlog.get_logger()

#: How often the rows are looked at, in seconds.
TIMERS_SECONDS: Final = 1.0
WEBHOOKS_SECONDS: Final = 0.5
SWEEP_SECONDS: Final = 60.0


def rate_sources(site: Site) -> list[RateSource]:
    """Where this site's prices come from. BadSettings when it names none."""
    sources: list[RateSource] = []
    if site.rates.fixed:
        sources.append(FixedSource(site.rates.fixed))
    if not sources:
        raise BadSettings("rates: no source is configured; the dev world has `rates.fixed`")
    return sources


async def run_worker(site: Site, stop: asyncio.Event) -> None:
    """Watch, time, price and deliver until `stop` is set. Trouble in one job never stops another."""
    sources = rate_sources(site)
    sealer = read_key_file(site.sealing_key_file)
    desk = await open_desk(site, name="swapdesk-worker")
    readers = {
        key: open_reader(network, desk.registry, site.networks[key].urls)
        for key, network in desk.registry.networks.items()
    }

    def unseal(partner_id: uuid.UUID, blob: bytes) -> str:
        return sealer.open(Place("partner", str(partner_id), "webhook_secret_sealed"), blob)

    try:
        async with (
            Client(allow_loopback=site.webhook_loopback) as client,
            asyncio.TaskGroup() as jobs,
        ):
            for key, reader in readers.items():
                look = Watcher(desk, reader, site.networks[key].pins).look
                poll = site.networks[key].poll_seconds
                jobs.create_task(repeat(f"watch {key}", poll, look, stop))
            rates = site.rates.every_seconds
            jobs.create_task(repeat("rates", rates, lambda: rates_round(desk, sources), stop))
            jobs.create_task(repeat("timers", TIMERS_SECONDS, lambda: timers_round(desk), stop))
            jobs.create_task(repeat("sweep", SWEEP_SECONDS, lambda: sweep_round(desk), stop))
            jobs.create_task(
                repeat(
                    "webhooks",
                    WEBHOOKS_SECONDS,
                    lambda: deliver_due(desk.db, desk.world, unseal, client),
                    stop,
                )
            )
            log.info("worker started", networks=sorted(readers), sources=[s.name for s in sources])
    finally:
        for reader in readers.values():
            await reader.close()
        await desk.db.close()
