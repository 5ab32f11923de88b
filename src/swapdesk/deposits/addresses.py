"""Pay-in addresses: an index, drawn from the family's sequence, derived from a public key.

The vault's `init` writes the deposit xpubs; the desk can derive addresses with them and nothing
else. Each process leases blocks of indexes and derives their addresses ahead of need. A sequence
never goes back, not even when the transaction that drew from it does: what a process that dies had
in stock is a hole, and an index is never used twice (the primary key says so too).
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from swapdesk.assets import Registry
from swapdesk.chains.codec import address_of_key
from swapdesk.chains.hd import DepositKeys
from swapdesk.db import Database, Tx, queries
from swapdesk.orders.order import Order

Q = queries(__package__, "store.sql")

#: Families that have a sequence in the schema (migrations/versions/0001_spine.sql).
FAMILIES: Final = ("bitcoin", "litecoin", "dogecoin", "evm", "tron", "monero")
#: Indexes leased at once. A lease of more than 32 (SEQ_LOG_VALS of PostgreSQL) always writes to its
#: log and so flushes at commit: what was leased stays leased even if the server crashes.
LEASE: Final = 256
#: Addresses a process keeps derived per network.
STOCK: Final = 1_024
#: Addresses derived before others get a turn: about a millisecond.
SLICE: Final = 16


class Stock(msgspec.Struct):
    """What one process holds for one network and has not used yet."""

    derived: deque[tuple[int, str]]  #: (index, address)
    leased: deque[int]  #: indexes whose address is not derived yet


class PayIn:
    """Derives pay-in addresses of a site, and keeps some in stock."""

    def __init__(self, registry: Registry, xpubs: Mapping[str, str]) -> None:
        """`xpubs`: family -> account xpub. ValueError if a configured network has none."""
        needed = {network.family for network in registry.networks.values()}
        if missing := needed - set(xpubs):
            raise ValueError(f"the vault gave no deposit key for: {', '.join(sorted(missing))}")
        self._registry = registry
        self._keys = {family: DepositKeys(xpubs[family]) for family in needed}
        self._stocks = {key: Stock(deque(), deque()) for key in registry.networks}

    def address(self, network: str, index: int) -> str:
        """The address at `index` as `network` spells it."""
        key = self._keys[self._registry.networks[network].family].pubkey(index)
        return address_of_key(network, self._registry.world, key)

    async def fill(self, db: Database) -> None:
        """Lease and derive until STOCK addresses of every network are ready. Run it again and
        again in each process that opens orders; without it they are derived when they are needed.
        """
        for network, stock in self._stocks.items():
            while len(stock.derived) < STOCK:
                if not stock.leased:
                    async with db.transaction() as tx:
                        await self._lease(tx, network)
                self._derive(network, SLICE)
                await asyncio.sleep(0)

    async def take(self, tx: Tx, network: str, count: int) -> list[tuple[int, str]]:
        """`count` fresh (index, address) of `network`. If `tx` is rolled back they are holes."""
        stock = self._stocks[network]
        while len(stock.derived) + len(stock.leased) < count:
            await self._lease(tx, network)
        if (short := count - len(stock.derived)) > 0:
            self._derive(network, short)
        return [stock.derived.popleft() for _ in range(count)]

    async def _lease(self, tx: Tx, network: str) -> None:
        family = self._registry.networks[network].family
        assert family in FAMILIES
        rows = await tx.fetch(Q.lease_indexes, f"deposit_index_{family}", LEASE)
        self._stocks[network].leased.extend(row["index"] for row in rows)

    def _derive(self, network: str, at_most: int) -> None:
        stock = self._stocks[network]
        for _ in range(min(at_most, len(stock.leased))):
            index = stock.leased.popleft()
            stock.derived.append((index, self.address(network, index)))

    async def keep(self, tx: Tx, new: Sequence[Order]) -> None:
        """Store the addresses of new orders for ever."""
        families = [self._registry.networks[order.network].family for order in new]
        await tx.execute(
            Q.keep_addresses,
            families,
            [order.address_index for order in new],
            [order.network for order in new],
            [order.address for order in new],
            [order.id for order in new],
            [order.from_asset for order in new],
        )

    async def ours(self, tx: Tx, places: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these (network, address) are ours, on any network of their family."""
        named = {
            (self._registry.networks[network].family, address): (network, address)
            for network, address in places
        }
        rows = await tx.fetch(
            Q.known_addresses, [family for family, _ in named], [text for _, text in named]
        )
        return {named[row["family"], row["address"]] for row in rows}
