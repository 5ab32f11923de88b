"""Snapshots of the market: one immutable row per round, written by the worker, read by everyone."""

import uuid
from collections.abc import Mapping, Sequence

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.rates.book import (
    Book,
    Guards,
    Level,
    Memory,
    Price,
    Tick,
    build,
    judged_until,
    remember,
)

Q = queries(__package__, "store.sql")


class Snapshot(msgspec.Struct, frozen=True):
    """One round: every tick with its receipt time, and what the jump guard knew before it."""

    ticks: tuple[Tick, ...]
    before: Mapping[str, Price]  #: last trusted prices
    levels: Mapping[str, Level] = {}  #: jumps that settle


class Market(msgspec.Struct, frozen=True):
    """The newest snapshot with its id, so that a quote can name what it used."""

    id: uuid.UUID
    snapshot: Snapshot

    def book(self, now_ms: int, guards: Guards) -> Book:
        """The book at `now_ms`: age is judged at use, so an old snapshot yields nothing."""
        return build(self.snapshot.ticks, now_ms, guards, self.snapshot.before)

    def judged_until(self, now_ms: int, guards: Guards) -> int:
        """Until when (exclusive) `book(now_ms)` stays what it is."""
        return judged_until(self.snapshot.ticks, now_ms, guards)


async def keep(tx: Tx, id: uuid.UUID, taken_ms: int, snapshot: Snapshot) -> None:
    """Write one round."""
    await tx.execute(Q.keep, id, taken_ms, msgspec.json.encode(snapshot))


async def newest(tx: Tx) -> Market | None:
    """The newest round, None before the first."""
    row = await tx.fetchrow(Q.newest)
    return Market(row["id"], msgspec.json.decode(row["body"], type=Snapshot)) if row else None


async def forget(tx: Tx, before_ms: int, at_most: int) -> int:
    """Delete rounds older than `before_ms` that no order used; how many went."""
    return int((await tx.execute(Q.forget, before_ms, at_most)).rpartition(" ")[2])


def next_snapshot(
    ticks: Sequence[Tick], last: Market | None, now_ms: int, guards: Guards
) -> Snapshot:
    """A round over `ticks`, with what the jump guard learned from the round before it."""
    if last is None:
        return Snapshot(tuple(ticks), {})
    memory = Memory(last.snapshot.before, last.snapshot.levels)
    known = remember(memory, last.book(now_ms, guards), now_ms, guards)
    return Snapshot(tuple(ticks), known.trusted, known.levels)
