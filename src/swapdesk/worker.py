"""The worker: everything that happens without a request, in one process. Run as many as you like."""

import asyncio
from typing import Final

import structlog

from swapdesk.build import open_desk
from swapdesk.chains.connect import open_reader
from swapdesk.engine.event_log import number_events
from swapdesk.engine.webhook_keys import SealedSecrets
from swapdesk.jobs import purge_round, rates_round, repeat, sweep_round, timers_round
from swapdesk.partners.secrets import read_key_file
from swapdesk.rates.fixed import FixedSource
from swapdesk.rates.market import MarketSource
from swapdesk.rates.source import RateSource
from swapdesk.settings import BadSettings, Site
from swapdesk.watch import Watcher
from swapdesk.webhooks.deliver import Client, Courier

log = structlog.get_logger()

#: How often the rows are looked at, in seconds.
TIMERS_SECONDS: Final = 1.0
EVENTS_SECONDS: Final = 0.5
SWEEP_SECONDS: Final = 60.0
PURGE_SECONDS: Final = 60.0


def rate_sources(site: Site) -> list[RateSource]:
    """Where this site's prices come from. BadSettings when it names none."""
    sources: list[RateSource] = []
    if site.rates.fixed:
        sources.append(FixedSource(site.rates.fixed))
    if setup := site.market():
        sources.append(MarketSource(setup))
    if not sources:
        raise BadSettings("rates: name exchanges in `rates.sources`; dev also has `rates.fixed`")
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

    try:
        async with (
            Client(allow_loopback=site.webhook_loopback) as client,
            Courier(desk.db, desk.world, SealedSecrets(sealer), client) as courier,
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
            jobs.create_task(repeat("purge", PURGE_SECONDS, lambda: purge_round(desk), stop))
            jobs.create_task(repeat("webhooks", 0, courier.turn, stop))  # it waits by itself
            jobs.create_task(repeat("events", EVENTS_SECONDS, lambda: number_events(desk), stop))
            log.info("worker started", networks=sorted(readers), sources=[s.name for s in sources])
    finally:
        for source in sources:
            await source.close()
        for reader in readers.values():
            await reader.close()
        await desk.db.close()
