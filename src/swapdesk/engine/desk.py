"""What every use case is handed: the database, the clock, the registry and the desk's terms.

Built once in `run.py`. Nothing in here changes while the process lives, except what is read again
from the database at most once a second (`recent`) and the batches under way (`gather`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from swapdesk.assets import Registry
from swapdesk.db import Database, Gather, Tx
from swapdesk.deposits.addresses import PayIn
from swapdesk.errors import No, Refused
from swapdesk.pricing import Fees
from swapdesk.rates import store as rates
from swapdesk.rates.book import Book, Guards
from swapdesk.world import World

T = TypeVar("T")
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

#: How long a process trusts what it has read before it looks again.
RECENT_MS: Final = 1_000


class Terms(msgspec.Struct, frozen=True):
    """What the operator decided. Times in milliseconds, money in 1/USD_SCALE dollars."""

    base_fee_bps: int = 50
    network_usd: Mapping[str, int] = {}  #: cost of paying out, per network
    window_ms: int = 1_800_000  #: how long a float order waits for its deposit
    reprice_ms: int = 5_000  #: how soon to look again at money that has no price yet
    guards: Guards = Guards()
    vault_silence_ms: int = 60_000  #: a vault silent for longer takes its networks off the list
    sync_silence_ms: int = 300_000  #: so does a watcher that has not stood at the tip for this long
    daily_cap_usd: int | None = None  #: most that may be opened in 24 hours; None: no cap
    retention_ms: int | None = (
        259_200_000  #: what is personal goes this long after the end; None: never
    )


class Recent(Generic[T]):
    """A value that is read again when it is older than RECENT_MS, by one caller for all."""

    def __init__(self, world: World, read: Callable[[], Awaitable[T]]) -> None:
        self._world = world
        self._read = read
        self._value: T | None = None
        self._read_ms = 0
        self._reading = asyncio.Lock()

    def known(self) -> T | None:
        """The value, at most RECENT_MS old; None when it must be read."""
        if self._value is not None and self._world.now() - self._read_ms < RECENT_MS:
            return self._value
        return None

    async def get(self) -> T:
        """The value, read unless somebody just did. A None is never kept. What reading raises."""
        async with self._reading:
            now = self._world.now()
            if self._value is None or now - self._read_ms >= RECENT_MS:
                value = await self._read()
                self._value, self._read_ms = value, now
                return value
            return self._value


class Desk:
    """The desk's ground: what use cases stand on."""

    def __init__(
        self, *, db: Database, world: World, registry: Registry, terms: Terms, pay_in: PayIn
    ) -> None:
        self.db = db
        self.world = world
        self.registry = registry
        self.terms = terms
        self.pay_in = pay_in
        self._gathers: dict[object, Any] = {}
        self._recent: dict[object, Any] = {}
        self._book: tuple[rates.Market, int, int, Book] | None = None  #: good from, until

    def fees(self, network: str) -> Fees:
        """What paying out on `network` costs a customer."""
        return Fees(self.terms.base_fee_bps, self.terms.network_usd.get(network, 0))

    def gather(
        self,
        batch: Callable[["Desk", Tx, Sequence[Ask]], Awaitable[Sequence[Answer | Exception]]],
        *,
        atomic: bool = True,
    ) -> Gather[Ask, Answer]:
        """This process's gather of a batch function: `await desk.gather(open_orders).ask(row)`.

        Not `atomic`: each statement of the batch commits by itself, which saves two round trips;
        nothing is tried again.
        """
        known: Gather[Ask, Answer] | None = self._gathers.get(batch)
        if known is None:

            async def whole(rows: Sequence[Ask]) -> Sequence[Answer | Exception]:
                return await self.db.retrying(lambda tx: batch(self, tx, rows))

            async def plain(rows: Sequence[Ask]) -> Sequence[Answer | Exception]:
                async with self.db.connection() as connection:
                    return await batch(self, connection, rows)

            known = Gather(whole if atomic else plain, atomic=atomic)
            self._gathers[batch] = known
        return known

    async def recent(self, read: Callable[["Desk"], Awaitable[T]]) -> T:
        """What `read(desk)` returned at most a second ago, kept per process."""
        known: Recent[T] | None = self._recent.get(read)
        if known is None:
            known = self._recent[read] = Recent(self.world, lambda: read(self))
        value = known.known()
        return await known.get() if value is None else value

    async def market(self) -> rates.Market:
        """The newest snapshot, re-read at most once a second. Refused UNAVAILABLE before the first."""
        market = await self.recent(_newest)
        if market is None:
            raise Refused(No.UNAVAILABLE, "no rates yet")
        return market

    def book(self, market: rates.Market) -> Book:
        """The market judged now: an old snapshot yields no prices.

        One book is kept, and only until the next tick comes or ceases to count.
        """
        now = self.world.now()
        if self._book is not None:
            of, since, until, book = self._book
            if of is market and since <= now < until:
                return book
        book = market.book(now, self.terms.guards)
        self._book = (market, now, market.judged_until(now, self.terms.guards), book)
        return book


async def _newest(desk: Desk) -> rates.Market | None:
    async with desk.db.pool.acquire() as connection:
        return await rates.newest(connection)
