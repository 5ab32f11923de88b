"""What every use case is handed: the database, the clock, the registry and the desk's terms.

Built once in `run.py`. Nothing in here changes while the process lives, except the market, which
is read from the database at most once a second.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from swapdesk.assets import Registry
from swapdesk.db import Database
from swapdesk.deposits.addresses import PayIn
from swapdesk.errors import No, Refused
from swapdesk.pricing import Fees
from swapdesk.rates import store as rates
from swapdesk.rates.book import Book, Guards
from swapdesk.world import World

#: How long a process trusts the snapshot it has before it asks for a newer one.
MARKET_CACHE_MS: Final = 1_000


class Terms(msgspec.Struct, frozen=True):
    """What the operator decided. Times in milliseconds, money in 1/USD_SCALE dollars."""

    base_fee_bps: int = 50
    network_usd: Mapping[str, int] = {}  #: cost of paying out, per network
    window_ms: int = 1_800_000  #: how long a float order waits for its deposit
    reprice_ms: int = 5_000  #: how soon to look again at money that has no price yet
    guards: Guards = Guards()
    vault_silence_ms: int = 60_000  #: a vault silent for longer takes its networks off the list
    sync_silence_ms: int = 300_000  #: so does a watcher that has not stood at the tip for this long


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
        self._market: rates.Market | None = None
        self._market_read_ms = 0
        self.alive_cache: object = None  #: engine/alive.py keeps its last answer here
        self.alive_read_ms = 0

    def fees(self, network: str) -> Fees:
        """What paying out on `network` costs a customer."""
        return Fees(self.terms.base_fee_bps, self.terms.network_usd.get(network, 0))

    async def market(self) -> rates.Market:
        """The newest snapshot, re-read at most once a second. Refused UNAVAILABLE before the first."""
        now = self.world.now()
        if self._market is None or now - self._market_read_ms >= MARKET_CACHE_MS:
            async with self.db.pool.acquire() as connection:
                self._market = await rates.newest(connection)
            self._market_read_ms = now
        if self._market is None:
            raise Refused(No.UNAVAILABLE, "no rates yet")
        return self._market

    def book(self, market: rates.Market) -> Book:
        """The market judged now: an old snapshot yields no prices."""
        return market.book(self.world.now(), self.terms.guards)
