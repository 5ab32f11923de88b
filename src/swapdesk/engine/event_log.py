"""A partner's event log: numbering what was committed, reading it, forgetting what is old."""

import uuid
from typing import Final

from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.webhooks import endpoint, log
from swapdesk.webhooks.log import Page

#: Events in one answer.
PAGE_MAX: Final = 100
#: No event is forgotten sooner: the retry ladder takes nine hours, a poller may be away for a night.
KEPT_MS_MIN: Final = 86_400_000
#: The largest number there can be.
SEQ_MAX: Final = 2**63 - 1
#: Events deleted in one transaction, and transactions in one call; the rest waits for the next.
CHUNK: Final = 1_000
CHUNKS_MAX: Final = 100


async def number_events(desk: Desk) -> int:
    """Give committed events their numbers; how many got one. Any number of workers may do this."""
    return await desk.db.retrying(log.number)


async def read_events(desk: Desk, partner_id: uuid.UUID, after: int, limit: int = PAGE_MAX) -> Page:
    """The partner's events with numbers above `after`, oldest first.

    Refused INVALID unless 0 <= after <= SEQ_MAX and 1 <= limit <= PAGE_MAX.
    """
    if not (0 <= after <= SEQ_MAX and 1 <= limit <= PAGE_MAX):
        raise Refused(No.INVALID, f"after is 0 or more, limit 1 to {PAGE_MAX}")
    async with desk.db.transaction() as tx:
        return await log.read(tx, partner_id, after, limit)


async def forget_events(desk: Desk) -> None:
    """Delete what the site keeps no longer, and Ed25519 keys that sign no more."""
    async with desk.db.transaction() as tx:
        await endpoint.forget_keys(tx, desk.world.now())
    if desk.terms.retention_ms is None:
        return
    for _ in range(CHUNKS_MAX):
        before = desk.world.now() - max(desk.terms.retention_ms, KEPT_MS_MIN)
        async with desk.db.transaction() as tx:
            if await log.forget(tx, before, CHUNK) < CHUNK:
                return
