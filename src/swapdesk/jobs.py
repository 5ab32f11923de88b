"""What happens without a request: rates, timers, sweeping. Each job is one look at the rows.

Work is rows with a due time; a job that dies loses nothing, because the next one finds the row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from swapdesk.chains.reader import NodeTrouble, WrongChain
from swapdesk.engine.daily_cap import forget_daily
from swapdesk.engine.desk import Desk
from swapdesk.engine.event_log import forget_events
from swapdesk.engine.follow_due import follow_due
from swapdesk.engine.keep_rates import keep_rates
from swapdesk.engine.remove_order import purge_orders
from swapdesk.engine.sweep import sweep_nonces
from swapdesk.rates.source import RateSource

log = structlog.get_logger()

#: How long a job waits after a failure before it tries again, in seconds.
BACKOFF_SECONDS: Final = 2.0
#: A network that follows the wrong chain is asked again this rarely.
WRONG_CHAIN_SECONDS: Final = 60.0


async def repeat(
    name: str, every_seconds: float, job: Callable[[], Awaitable[object]], wake: asyncio.Event
) -> None:
    """Run `job` every `every_seconds` until `wake` is set, whatever happens to it.

    Trouble is logged and the job runs again: nothing that fails here may stop the others.
    """
    while not wake.is_set():
        pause = every_seconds
        try:
            await job()
        except NodeTrouble as trouble:
            log.warning("node trouble", job=name, why=str(trouble))
            pause = max(every_seconds, BACKOFF_SECONDS)
        except WrongChain as wrong:
            log.error("wrong chain", job=name, why=str(wrong))  # noqa: TRY400 - the text says it all
            pause = WRONG_CHAIN_SECONDS
        except Exception:
            log.exception("job failed", job=name)
            pause = max(every_seconds, BACKOFF_SECONDS)
        try:
            await asyncio.wait_for(wake.wait(), pause)
        except TimeoutError:
            continue


async def rates_round(desk: Desk, sources: Sequence[RateSource]) -> None:
    """Ask every source, keep one snapshot. A source that fails simply has no ticks this round."""
    now = desk.world.now()
    answers = await asyncio.gather(*(s.ticks(now) for s in sources), return_exceptions=True)
    ticks = []
    for source, answer in zip(sources, answers, strict=True):
        if isinstance(answer, BaseException):
            log.warning("rate source failed", source=source.name, why=repr(answer))
        else:
            ticks.extend(answer)
    await keep_rates(desk, ticks)


async def timers_round(desk: Desk) -> None:
    """Look at every order whose time has come."""
    while await follow_due(desk):
        pass


async def purge_round(desk: Desk) -> None:
    """Erase what is personal about orders whose retention is over, and old minutes of the cap."""
    if purged := await purge_orders(desk):
        log.info("orders purged", orders=purged)
    await forget_daily(desk)


async def sweep_round(desk: Desk) -> None:
    """Forget what is too old to matter."""
    await sweep_nonces(desk)
    await forget_events(desk)
