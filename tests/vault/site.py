"""A whole site around a vault, on simulated chains: orders open, coins arrive, blocks are mined."""

import uuid
from typing import Final

from swapdesk.assets import NetworkSetup, Registry, load
from swapdesk.chains import codec
from swapdesk.chains.reader import Reader
from swapdesk.chains.simchain import SimChain
from swapdesk.chains.simulated import LocalCaller, SimulatedReader
from swapdesk.handoff import Binding, Deposit, Kind, PayoutIntent
from swapdesk.rates.book import Guards
from swapdesk.rates.fixed import FixedSource
from swapdesk.world import RealWorld
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.journal import Journal
from swapdesk_vault.keys import Keyring
from swapdesk_vault.link import Link
from swapdesk_vault.operator import initialise
from swapdesk_vault.pace import Pace
from swapdesk_vault.policy import Limits
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.senders.sender import Sender
from swapdesk_vault.senders.simulated import SimulatedSender
from swapdesk_vault.vault import Vault
from tests.postgres import Dsns
from tests.vault.desk_double import DeskDouble

WORDS: Final = "abandon " * 11 + "about"
PRICES: Final = {"LTC": "100", "TRX": "0.20", "USDT": "1"}
PACE: Final = Pace(beat_ms=1, identity_retry_ms=1, retry_ms=1, retry_ms_max=1, rebroadcast_ms=1)
LTC: Final = 10**8
USDT: Final = 10**6
TRX: Final = 10**6
#: An address of a customer on each network, from keys that are not ours.
CUSTOMER: Final = Keyring.from_words("zoo " * 11 + "wrong", "dev")


class ShiftedWorld(RealWorld):
    """The real world, with a clock that a test may turn forward."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def now(self) -> int:
        return super().now() + self.shift_ms


class Site:
    """Two simulated chains, a desk double and the pieces of a vault on one database."""

    def __init__(self, dsns: Dsns) -> None:
        self.dsns = dsns
        self.world = ShiftedWorld()
        self.registry: Registry = load(
            "dev",
            {
                "litecoin": NetworkSetup(reader="simulated", confirmations=2),
                "tron": NetworkSetup(reader="simulated", confirmations=2),
            },
        )
        self.keyring = Keyring.from_words(WORDS, "dev")
        self.chains = {
            key: SimChain(network, self.registry, self.world, ":memory:")
            for key, network in self.registry.networks.items()
        }
        self.nodes = {key: LocalCaller(chain) for key, chain in self.chains.items()}
        self.desk = DeskDouble(self.keyring.link_key().public_key(), self.world)
        self.limits = Limits()
        self.prices: dict[str, str] = dict(PRICES)
        self.index = -1
        self._vaults: list[Vault] = []

    async def start(self) -> None:
        """Initialise the database, start the desk, fund the hot wallet."""
        link_key = self.keyring.link_key().public_key().public_bytes_raw().hex()
        await initialise(self.dsns.owner, self.world, "dev", link_key)
        await self.desk.start()
        for asset, units in (("ltc", 1_000 * LTC), ("trx", 10**12), ("usdt_trc20", 10**12)):
            network = self.registry.network_of(asset).key
            self.chains[network].call("sim_faucet", [self.hot(network), asset, units])
        self.mine()

    async def stop(self) -> None:
        """Close everything, vaults of a failed test too."""
        for vault in self._vaults:
            await vault.close()
        await self.desk.stop()
        for chain in self.chains.values():
            chain.close()

    async def vault(self) -> Vault:
        """A vault on the rows as they are. `await vault.close()` before the next one."""
        link_key = self.keyring.link_key().public_key().public_bytes_raw().hex()
        journal = await Journal.open(self.dsns.app, self.world, "dev", link_key)
        vault = self.build(journal)
        self._vaults.append(vault)
        return vault

    def build(self, journal: Journal) -> Vault:
        """The pieces put together around an open journal."""
        wallet = HotWallet(journal)
        readers: dict[str, Reader] = {}
        senders: dict[str, Sender] = {}
        for key, network in self.registry.networks.items():
            node = self.nodes[key]
            readers[key] = SimulatedReader(network, node)
            senders[key] = SimulatedSender(network, self.registry, [node], self.keyring, wallet)
        return Vault(
            world=self.world,
            journal=journal,
            link=Link(self.desk.url, self.keyring.link_key(), self.world),
            readers=readers,
            senders=senders,
            keyring=self.keyring,
            limits=self.limits,
            rates=OwnRates([FixedSource(self.prices)], Guards()),
            registry=self.registry,
            pace=PACE,
        )

    # What customers and the desk do.

    def hot(self, network: str) -> str:
        """The hot wallet's address."""
        key = self.keyring.hot_key(self.registry.networks[network].family, 0).public
        return codec.address_of_key(network, "dev", key)

    def customer(self, network: str, number: int = 0) -> str:
        """An address that is not ours."""
        key = CUSTOMER.deposit_key(self.registry.networks[network].family, number).public
        return codec.address_of_key(network, "dev", key)

    def open(self, source: str = "ltc", target: str = "usdt_trc20") -> Binding:
        """An order opens: its binding, already offered to the vault."""
        self.index += 1
        network = self.registry.network_of(source)
        key = self.keyring.deposit_key(network.family, self.index).public
        binding = Binding(
            order_id=str(self.world.uuid()),
            network=network.key,
            index=self.index,
            address=codec.address_of_key(network.key, "dev", key),
            from_asset=source,
            to_asset=target,
            destination=self.customer(self.registry.network_of(target).key),
            refund_address=self.customer(network.key),
            opened_at_ms=self.world.now(),
        )
        self.desk.bindings.append(binding)
        return binding

    def pay_in(self, binding: Binding, units: int, *, asset: str | None = None) -> Deposit:
        """The customer pays to the deposit address; mined to final depth."""
        chain = self.chains[binding.network]
        txid = chain.call("sim_faucet", [binding.address, asset or binding.from_asset, units])
        self.mine()
        return self.deposit(binding.network, txid, units)

    def deposit(self, network: str, txid: str, units: int) -> Deposit:
        """The hint of a mined transaction."""
        chain = self.chains[network]
        ref = chain.call("sim_locate", [txid, 0]).ref
        native = chain.call("sim_find", [txid, "value", ref.hash]) is not None
        return Deposit(txid, "value" if native else "log:0", ref.hash, units)

    def ask(
        self,
        binding: Binding,
        units: int,
        covers_units: int,
        *deposits: Deposit,
        kind: Kind = "payout",
        attempt: int = 1,
        asset: str | None = None,
        destination: str | None = None,
    ) -> PayoutIntent:
        """The desk asks for a payment, by default the one it is bound to."""
        payout = kind == "payout"
        bound_to = binding.destination if payout else binding.refund_address
        assert bound_to is not None
        intent = PayoutIntent(
            order_id=binding.order_id,
            attempt=attempt,
            kind=kind,
            asset=asset or (binding.to_asset if payout else binding.from_asset),
            units=units,
            destination=destination or bound_to,
            covers_units=covers_units,
            deposits=deposits,
        )
        self.desk.intents.append(intent)
        return intent

    def mine(self, blocks: int = 2) -> None:
        """Blocks on every chain, later by the clock than everything before."""
        self.world.shift_ms += 2
        for chain in self.chains.values():
            chain.call("sim_mine", [blocks])

    def held(self, network: str, address: str, asset: str) -> int:
        """What an address holds in blocks."""
        return int(self.chains[network].call("sim_balance", [address, asset]))

    def received(self, asset: str, number: int = 0) -> int:
        """What the customer's address holds of an asset."""
        network = self.registry.network_of(asset).key
        return self.held(network, self.customer(network, number), asset)

    @staticmethod
    def order() -> str:
        """The id of an order that nobody opened."""
        return str(uuid.uuid4())
