"""A partner's event log: every event, numbered 1, 2, 3 ... without a gap, after it is committed.

Ids and times are given out before a commit, so a reader who remembers the last one would skip an
event that commits late. A number is given by one worker at a time, which holds the partner's
counter locked and sees committed events only: whatever has a larger number came later.
"""

import uuid
from typing import Final

import msgspec

from swapdesk.db import Tx, queries

Q = queries(__package__, "log.sql")

#: Partners, and events of each, numbered in one transaction: locks stay short.
PARTNERS_MAX: Final = 500
NUMBERED_MAX: Final = 500


class Entry(msgspec.Struct, frozen=True):
    """One event of the log."""

    seq: int
    id: uuid.UUID  #: the id its delivery carries
    body: bytes | None  #: as it was or would be delivered; None: its order was removed


class Page(msgspec.Struct, frozen=True):
    """A piece of the log in order."""

    entries: list[Entry]
    more: bool  #: there are further ones already
    oldest: int | None  #: the smallest number still kept; None: the log is empty


async def number(tx: Tx) -> int:
    """Number what is not numbered yet; how many. What another worker is numbering is left to it."""
    partners = [row["partner_id"] for row in await tx.fetch(Q.counters, PARTNERS_MAX)]
    if not partners:
        return 0
    # an own statement, an own snapshot: it sees what the last holder of the locks committed
    return _count(await tx.execute(Q.number, partners, NUMBERED_MAX))


async def read(tx: Tx, partner_id: uuid.UUID, after: int, at_most: int) -> Page:
    """Up to `at_most` events of a partner with numbers above `after`."""
    rows = await tx.fetch(Q.page, partner_id, after, at_most + 1)
    entries = [Entry(**dict(row)) for row in rows]
    return Page(entries[:at_most], len(entries) > at_most, await tx.fetchval(Q.oldest, partner_id))


async def forget(tx: Tx, before_ms: int, at_most: int) -> int:
    """Delete up to `at_most` of the oldest events; how many went.

    What happened before `before_ms` goes, except of an order that is kept, and what follows it.
    """
    return _count(await tx.execute(Q.forget, before_ms, at_most))


def _count(status: str) -> int:
    """The number in a command tag such as "UPDATE 7"."""
    return int(status.rpartition(" ")[2])
