"""Desk, vault, chains, customers and partners from one seed; then quiet, and questions.

Desk and vault are the real ones on real databases; chains are simulated; messages get lost,
repeated and reordered; processes die between any two steps.
"""

import contextlib
import random
from typing import Any, Final

from swapdesk.chains.codec import address_of_key
from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.simulated import SimulatedReader
from swapdesk.engine import books, handover
from swapdesk.engine.choose_exchange import choose_exchange
from swapdesk.engine.earnings import set_fee_share
from swapdesk.engine.find_order import list_orders
from swapdesk.engine.follow_due import follow_due
from swapdesk.engine.keep_rates import keep_rates
from swapdesk.engine.open_order import open_order
from swapdesk.engine.resolve_order import Choice, resolve_order
from swapdesk.errors import Refused
from swapdesk.handoff import (
    Beat,
)
from swapdesk.orders.order import Order
from swapdesk.orders.states import State
from swapdesk.rates.book import Guards
from swapdesk.rates.fixed import FixedSource
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.journal import Journal
from swapdesk_vault.keys import Keyring
from swapdesk_vault.operator import initialise
from swapdesk_vault.pace import Pace
from swapdesk_vault.policy import Limits
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.senders.simulated import SimulatedSender
from swapdesk_vault.vault import Vault
from tests.rig import PRICES, REGISTRY, Rig, TestWorld
from tests.sim.judge import judge_rows
from tests.sim.mortal import Fate, Killed, Mortal, MortalDatabase
from tests.sim.wire import Wire

STEPS: Final = 55
#: Rounds of quiet after which everything must have come to rest; each is ten minutes.
QUIET_ROUNDS_MAX: Final = 30
QUIET_MS: Final = 600_000
#: In these rounds of quiet the operator decides something that is held.
RESOLVE_ROUNDS: Final = range(1, 4)
PACE: Final = Pace(beat_ms=1, identity_retry_ms=1, retry_ms=1, retry_ms_max=1, rebroadcast_ms=1)
LIMITS: Final = Limits(
    order_usd=10**7,
    hour_usd=10**8,
    day_usd=10**8,
    late_bind_cap_usd=10**7,
    late_bind_hourly_usd=10**8,
    fee_bps=10_000,
)
CUSTOMERS: Final = Keyring.from_words("zoo " * 11 + "wrong", "dev")
FUNDS: Final = {"btc": 50 * 10**8, "usdt_trc20": 10**13, "trx": 10**12}
RESTING: Final = frozenset({State.DONE, State.REFUNDED, State.EXPIRED})


class Sim:
    """One run. `live` is the noise, `rest` the quiet, `judge` the questions."""

    def __init__(self, seed: int, db: MortalDatabase, vault_app: str) -> None:
        self.chance = random.Random(seed)
        self.fate = Fate(self.chance, one_in=40)
        db.fate = self.fate
        self.rig = Rig(db, TestWorld(seed))
        self.vault_app = vault_app
        self.wire = Wire(self.rig.desk, self.fate)
        self.vault: Vault | None = None
        self.journal: Journal | None = None
        self.orders: list[Order] = []
        self.tokens: list[str] = []  #: of the orders, in the same order
        self.destinations: dict[Any, str] = {}
        self.counts = {"deposits": 0, "kills": 0, "reorganisations": 0, "chosen": 0}

    async def begin(self, vault_owner: str) -> None:
        """Fund the hot wallet and record it as capital."""
        self.fate.calm = True
        await initialise(vault_owner, self.rig.world, "dev", self._link_key())
        await self.rig.begin()
        await set_fee_share(self.rig.desk, "shop", 2_500)
        for asset, units in FUNDS.items():
            network = REGISTRY.network_of(asset).key
            self.rig.chains[network].sim_faucet(self._hot(network), asset, units)
            await books.add_capital(self.rig.desk, asset, units, f"opening {asset}")
        for network in self.rig.chains:
            await self.rig.mine(network, 3)
        self.fate.calm = False

    async def end(self) -> None:
        """Close what is open."""
        await self._drop_vault()
        for chain in self.rig.chains.values():
            chain.close()

    async def live(self) -> None:
        """Random events, one after the other."""
        events = [
            (self._open, 6), (self._pay, 9), (self._mine, 12), (self._watch, 12),
            (self._vault_tick, 16), (self._resolve, 3), (self._reorganise, 3), (self._evict, 1),
            (self._node_down, 1), (self._pass_time, 2), (self._timers, 4), (self._choose, 3),
        ]  # fmt: skip
        kinds = [event for event, weight in events for _ in range(weight)]
        for _ in range(STEPS):
            for node in self.rig.nodes.values():
                node.stopped = node.stopped and self.chance.randrange(4) > 0
            try:
                await self.chance.choice(kinds)()
            except Killed:
                self.counts["kills"] += 1
            except (NodeTrouble, Refused):
                continue

    async def rest(self) -> None:
        """Nobody dies, nothing is lost, blocks come: until everything has come to rest."""
        self.fate.calm = True
        for node in self.rig.nodes.values():
            node.stopped = False
        for number in range(QUIET_ROUNDS_MAX):
            self.rig.world.at += QUIET_MS
            for chain in self.rig.chains.values():
                chain.sim_mine(3)
            await self.rig.tick()
            await follow_due(self.rig.desk)
            if number in RESOLVE_ROUNDS:
                with contextlib.suppress(Refused):
                    await self._resolve()
            for _ in range(2):
                await self._vault_tick()
            await self.rig.look()
            if number >= RESOLVE_ROUNDS.stop and await self._rested():
                return

    async def _rested(self) -> bool:
        listed = {o.id for o in await list_orders(self.rig.desk, held=True, at_most=1000)}
        for order in self.orders:
            state = await self.rig.state(order.id)
            if state not in RESTING and not (
                state in {State.HELD, State.REFUNDING} and order.id in listed
            ):
                return False
        return not await self.rig.intents()

    # Events.

    async def _open(self) -> None:
        number = len(self.orders)
        destination = self._customer("tron", number)
        ask = self.rig.ask(self.chance.choice([400_000, 1_000_000, 1_500_000]))
        ask = type(ask)(
            partner_id=ask.partner_id, src=ask.src, dst=ask.dst, direction=ask.direction,
            units=ask.units, markup_bps=ask.markup_bps, destination=destination,
            refund_address=self._customer("bitcoin", number), key_hash=None, body_hash=ask.body_hash,
        )  # fmt: skip
        await self._timers()
        opened = await open_order(self.rig.desk, ask)
        assert opened.token is not None, "no key, so no replay"
        self.orders.append(opened.view.order)
        self.tokens.append(opened.token)

    async def _pay(self) -> None:
        if not self.orders:
            return
        order = self.chance.choice(self.orders[-4:])
        percent = self.chance.choice([100, 100, 100, 100, 100, 100, 1, 50, 150, 5000])
        units = 900 if self.chance.randrange(10) == 0 else order.from_units * percent // 100
        self.rig.pay(order, units)
        self.counts["deposits"] += 1

    async def _mine(self) -> None:
        network = self.chance.choice(sorted(self.rig.chains))
        self.rig.world.at += 1000
        self.rig.chains[network].sim_mine(self.chance.choice([1, 1, 2]))

    async def _watch(self) -> None:
        await self.rig.watchers[self.chance.choice(sorted(self.rig.watchers))].look()

    async def _timers(self) -> None:
        """Rates, a beat, timers; the watchers look when it is their turn."""
        desk = self.rig.desk
        await keep_rates(desk, await FixedSource(PRICES).ticks(self.rig.world.now()))
        await handover.note_beat(desk, Beat(fence=1, stopped=None, balances=()))
        await follow_due(desk)

    async def _vault_tick(self) -> None:
        self.rig.world.at += 10
        try:
            if self.vault is None:
                await self._start_vault()
            assert self.vault is not None
            await self.vault.tick()
        except Killed:
            await self._drop_vault()
            raise

    async def _resolve(self) -> None:
        held = await list_orders(self.rig.desk, held=True, at_most=10)
        if held:
            choice: Choice = "refund" if self.chance.randrange(2) else "exchange"
            order = self.chance.choice(held)
            await resolve_order(self.rig.desk, order.id, choice, by="sim", note="chance")

    async def _choose(self) -> None:
        """A partner chooses to go on with an order that is held, or with one that is not."""
        if not self.orders:
            return
        held = {order.id for order in await list_orders(self.rig.desk, held=True, at_most=10)}
        numbers = [n for n, order in enumerate(self.orders) if order.id in held]
        number = self.chance.choice(numbers or range(len(self.orders)))
        order, token = self.orders[number], self.tokens[number]
        await choose_exchange(self.rig.desk, order.partner_id, order.id, token)
        self.counts["chosen"] += 1

    async def _reorganise(self) -> None:
        chain = self.rig.chains[self.chance.choice(sorted(self.rig.chains))]
        drop = self.chance.randrange(3) == 0
        # What is final stays possible: a block deeper than finality never loses a transaction.
        chain.sim_reorg(1 if drop else self.chance.choice([1, 2]), "drop" if drop else "mempool")
        self.counts["reorganisations"] += 1
        chain.sim_mine(self.chance.choice([1, 2]))

    async def _evict(self) -> None:
        chain = self.rig.chains["bitcoin"]
        ours = {order.address for order in self.orders}
        for transfer in chain.sim_mempool():
            if transfer.address in ours:
                chain.sim_evict(transfer.txid)
                return

    async def _node_down(self) -> None:
        self.rig.nodes[self.chance.choice(sorted(self.rig.nodes))].stopped = True

    async def _pass_time(self) -> None:
        self.rig.world.at += self.chance.choice([1_000, 60_000, 1_900_000])

    # The vault's process.

    async def _start_vault(self) -> None:
        link_key = self._link_key()
        self.journal = await Journal.open(self.vault_app, self.rig.world, "dev", link_key)
        mortal: Any = Mortal(self.journal, self.fate)
        wallet: Any = Mortal(HotWallet(self.journal), self.fate)
        link: Any = Mortal(self.wire, self.fate)
        senders: dict[str, Any] = {}
        readers: dict[str, Any] = {}
        for key, network in REGISTRY.networks.items():
            node = self.rig.nodes[key]
            readers[key] = SimulatedReader(network, node)
            sender = SimulatedSender(network, REGISTRY, [node], self.rig.keyring, wallet)
            senders[key] = Mortal(sender, self.fate)
        self.vault = Vault(
            world=self.rig.world, journal=mortal, link=link, readers=readers, senders=senders,
            keyring=self.rig.keyring, limits=LIMITS, registry=REGISTRY, pace=PACE,
            rates=OwnRates([FixedSource(PRICES)], Guards()),
        )  # fmt: skip

    async def _drop_vault(self) -> None:
        self.vault = None
        if self.journal is not None:
            await self.journal.close()
            self.journal = None

    def _link_key(self) -> str:
        return self.rig.keyring.link_key().public_key().public_bytes_raw().hex()

    def _hot(self, network: str) -> str:
        key = self.rig.keyring.hot_key(REGISTRY.networks[network].family, 0).public
        return address_of_key(network, "dev", key)

    def _customer(self, network: str, number: int) -> str:
        key = CUSTOMERS.deposit_key(REGISTRY.networks[network].family, number).public
        return address_of_key(network, "dev", key)

    # Questions.

    async def judge(self, owner_dsn: str) -> None:
        """Everything that must hold once the world is quiet."""
        waiting = []
        for order in self.orders:
            state = await self.rig.state(order.id)
            waiting += [(order.id, state)] if state not in RESTING | {State.HELD} else []
        listed = {o.id for o in await list_orders(self.rig.desk, held=True, at_most=1000)}
        assert all(order_id in listed for order_id, _ in waiting), f"waits for ever: {waiting}"
        assert not await self.rig.intents(), "an intent was never taken"
        assert self.journal is not None
        assert await self.journal.stopped() is None, "the vault stopped"
        await self._judge_chain_against_books()
        for number, order in enumerate(self.orders):
            await self._judge_order(number, await self.rig.order(order.id))
        await judge_rows(owner_dsn)

    async def _judge_chain_against_books(self) -> None:
        account = await self.rig.books()
        for asset in ("btc", "usdt_trc20", "trx"):
            network = REGISTRY.network_of(asset).key
            chain = self.rig.chains[network]
            hot = chain.sim_balance(self._hot(network), asset)
            assert hot == account.get((f"chain/{network}/hot", asset), 0), f"hot {asset}"
            held = sum(chain.sim_balance(o.address, asset) for o in self.orders)
            assert held == account.get((f"chain/{network}/deposits", asset), 0), f"deposits {asset}"

    async def _judge_order(self, number: int, order: Order) -> None:
        got = self.rig.chains["tron"].sim_balance(self._customer("tron", number), "usdt_trc20")
        back = self.rig.chains["bitcoin"].sim_balance(self._customer("bitcoin", number), "btc")
        paid = await self._final(order, "payout")
        assert got == sum(paid), f"{order.id}: chain paid {got}, desk recorded {paid}"
        assert len(paid) <= 1, "paid twice"
        assert back == sum(await self._final(order, "refund"))
        if order.state is State.DONE:
            assert paid == [order.to_units]
        if order.state in {State.WAITING, State.CONFIRMING, State.EXPIRED}:
            assert not paid

    async def _final(self, order: Order, kind: str) -> list[int]:
        async with self.rig.desk.db.transaction() as tx:
            rows = await tx.fetch(
                "SELECT units FROM payout_intent"
                " WHERE order_id = $1 AND kind = $2 AND outcome = 'final'",
                order.id,
                kind,
            )
        return [row["units"] for row in rows]
