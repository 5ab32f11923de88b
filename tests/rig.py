"""A whole desk on a real PostgreSQL and simulated chains, with a clock that only moves when told.

The rig is the outside world: customers that pay, blocks that come and go, a vault that reports.
"""

import base64
import random
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from swapdesk import assets
from swapdesk.assets import Registry
from swapdesk.chains.reader import Reader, WrongChain
from swapdesk.chains.simchain import SimChain
from swapdesk.chains.simulated import LocalCaller, SimulatedReader
from swapdesk.db import Database
from swapdesk.deposits.addresses import PayIn
from swapdesk.engine import handover, note_payout
from swapdesk.engine.desk import Desk, Terms
from swapdesk.engine.keep_rates import keep_rates
from swapdesk.engine.open_order import OrderAsk, open_order
from swapdesk.handoff import Acknowledged, Beat, PayoutIntent, PayoutReport
from swapdesk.ledger import store as ledger
from swapdesk.money import USD_SCALE
from swapdesk.orders import store as orders
from swapdesk.orders.order import Opened, Order
from swapdesk.orders.states import State
from swapdesk.partners import store as partners
from swapdesk.rates.fixed import FixedSource
from swapdesk.watch import Watcher
from swapdesk.world import uuid7
from swapdesk_vault.keys import Keyring

WORDS: Final = (
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
)
NOON: Final = 1_800_000_000_000
PRICES: Final[Mapping[str, str]] = {"BTC": "60000", "USDT": "1", "TRX": "0.25"}
SETUPS: Final = {
    "bitcoin": assets.NetworkSetup(reader="simulated", confirmations=2),
    "tron": assets.NetworkSetup(reader="simulated", confirmations=2),
}
REGISTRY: Final = assets.load("dev", SETUPS)
BTC, USDT = REGISTRY.assets["btc"], REGISTRY.assets["usdt_trc20"]
#: Somebody else's addresses, as customers give them.
TRON_ADDRESS: Final = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
BTC_ADDRESS: Final = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


class TestWorld:
    """Time stands still until it is told to pass; chance comes from a seed."""

    __test__ = False

    def __init__(self, seed: int = 1, now: int = NOON) -> None:
        self.random = random.Random(seed)
        self.at = now

    def now(self) -> int:
        """See World.now."""
        return self.at

    def token(self, size: int) -> str:
        """See World.token."""
        return base64.urlsafe_b64encode(self.random.randbytes(size)).rstrip(b"=").decode()

    def bytes(self, size: int) -> bytes:
        """See World.bytes."""
        return self.random.randbytes(size)

    def uuid(self) -> uuid.UUID:
        """See World.uuid."""
        return uuid7(self.at, self.random.randbytes(10))


class Rig:
    """A desk with its chains, watchers and one partner."""

    def __init__(
        self,
        db: Database,
        world: TestWorld,
        registry: Registry = REGISTRY,
        readers: Mapping[str, Reader] | None = None,
    ) -> None:
        """`readers` look at the networks of `registry` that are not simulated."""
        self.world = world
        self.registry = registry
        self.keyring = Keyring.from_words(WORDS, "dev")
        families = {network.family for network in registry.networks.values()}
        xpubs = {family: self.keyring.deposit_xpub(family) for family in families}
        self.desk = Desk(
            db=db,
            world=world,
            registry=registry,
            terms=Terms(network_usd={"tron": USD_SCALE, "bitcoin": USD_SCALE}),
            pay_in=PayIn(registry, xpubs),
        )
        self.chains = {
            key: SimChain(network, registry, world, ":memory:")
            for key, network in registry.networks.items()
            if network.simulated
        }
        self.nodes = {key: LocalCaller(chain) for key, chain in self.chains.items()}
        looking: dict[str, Reader] = {**(readers or {})}
        for key, node in self.nodes.items():
            looking[key] = SimulatedReader(registry.networks[key], node)
        self.watchers = {key: Watcher(self.desk, reader) for key, reader in looking.items()}
        self.partner_id = uuid.UUID(int=7)

    async def begin(self) -> None:
        """A partner, rates, a vault that is heard and watchers at the tip."""
        new = partners.NewPartner(
            id=self.partner_id, name="shop", markup_bps=0, webhook_url="https://shop.example/hook",
            webhook_secret_sealed=b"sealed", credential_id=uuid.UUID(int=8),
            api_key="a-key-of-the-shop", secret_sealed=b"sealed", created_ms=self.world.now(),
        )  # fmt: skip
        async with self.desk.db.transaction() as tx:
            await partners.create(tx, new)
        await self.tick()

    async def tick(self, prices: Mapping[str, str] = PRICES) -> None:
        """Fresh rates, a beat of the vault, and every watcher at the tip."""
        await keep_rates(self.desk, await FixedSource(prices).ticks(self.world.now()))
        await handover.note_beat(self.desk, Beat(fence=1, stopped=None, balances=()))
        await self.look()

    async def look(self) -> None:
        """Every watcher looks until it stands at the tip."""
        for watcher in self.watchers.values():
            for _ in range(50):
                if await watcher.look():
                    break
            else:
                raise WrongChain("the watcher never came to rest")

    async def open(self, units: int = 1_000_000, key: bytes | None = None) -> Opened:
        """Open an order over `units` satoshi to USDT on Tron."""
        return await open_order(self.desk, self.ask(units, key))

    def ask(self, units: int = 1_000_000, key: bytes | None = None, body: bytes = b"b") -> OrderAsk:
        """What `open` asks."""
        return OrderAsk(
            partner_id=self.partner_id, src=BTC, dst=USDT, direction="from", units=units,
            markup_bps=50, destination=TRON_ADDRESS, refund_address=BTC_ADDRESS,
            key_hash=key and key.ljust(32), body_hash=body.ljust(32),
        )  # fmt: skip

    def pay(self, order: Order, units: int | None = None) -> str:
        """A customer pays an order; the txid. It waits in the mempool."""
        chain = self.chains[order.network]
        return chain.sim_faucet(order.address, order.from_asset, units or order.from_units)

    async def mine(self, network: str = "bitcoin", count: int = 1) -> None:
        """Blocks come, time passes, everybody looks."""
        for _ in range(count):
            self.world.at += 1000
            self.chains[network].sim_mine(1)
            await self.tick()

    async def order(self, order_id: uuid.UUID) -> Order:
        """The order as it stands."""
        async with self.desk.db.transaction() as tx:
            found = await orders.read(tx, order_id)
        assert found is not None
        return found

    async def state(self, order_id: uuid.UUID) -> State:
        """Where the order stands."""
        return (await self.order(order_id)).state

    async def intents(self) -> list[PayoutIntent]:
        """What the vault would pull; acknowledged at once."""
        rows = await handover.intents(self.desk)
        await handover.acknowledge_intents(self.desk, [(r.order_id, r.attempt) for r in rows])
        return rows

    async def bind_all(self) -> None:
        """The vault acknowledges every binding."""
        rows = await handover.unbound(self.desk)
        await handover.acknowledge(self.desk, [Acknowledged(row.order_id, "ab") for row in rows])

    async def report(self, *reports: PayoutReport) -> list[PayoutReport]:
        """The vault reports; what the desk accepted."""
        return await note_payout.note_reports(self.desk, reports)

    async def owed(self, order_id: uuid.UUID) -> dict[str, int]:
        """What the books say an order is owed, by asset; zeros left out."""
        async with self.desk.db.transaction() as tx:
            found = {c: await ledger.owed(tx, order_id, c) for c in self.registry.assets}
        return {code: units for code, units in found.items() if units}

    async def books(self) -> dict[tuple[str, str], int]:
        """(account, asset) -> balance, orders summed up; asserts that each asset adds up to 0."""
        async with self.desk.db.transaction() as tx:
            rows = await ledger.trial_balance(tx)
        totals: dict[str, int] = {}
        for row in rows:
            totals[row.asset] = totals.get(row.asset, 0) + row.units
        assert not any(totals.values()), totals
        return {(row.account, row.asset): row.units for row in rows}


@asynccontextmanager
async def rig_on(dsn: str, seed: int = 1, now: int = NOON) -> AsyncIterator[Rig]:
    """A rig on the desk's database at `dsn`, begun."""
    db = await Database.open(dsn, name="rig")
    rig = Rig(db, TestWorld(seed, now))
    try:
        await rig.begin()
        yield rig
    finally:
        for chain in rig.chains.values():
            chain.close()
        await db.close()
