"""A site on real nodes: bitcoind and anvil, a desk double, and the vault's own site file."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

from swapdesk.chains import codec
from swapdesk.chains.rpc import Rpc
from swapdesk.demo import tokens
from swapdesk.demo.nodes import Anvil, Bitcoind
from swapdesk.handoff import Binding, Deposit, Kind, PayoutIntent
from swapdesk.world import RealWorld
from swapdesk_vault.keys import Keyring
from swapdesk_vault.operator import initialise
from swapdesk_vault.serve import build, link_key_of
from swapdesk_vault.site import VaultSite, load_site
from swapdesk_vault.vault import Vault
from tests.postgres import Dsns
from tests.vault.desk_double import DeskDouble
from tests.vault.site import CUSTOMER, WORDS

BTC: Final = 10**8
ETH: Final = 10**18
USDT: Final = 10**6
PATIENCE_SECONDS: Final = 20
SITE: Final = """
world = "dev"
desk_url = "{desk}"
seed_file = "vault.seed"
public_file = "vault.pub.json"
passphrase_file = "passphrase"
database_url_file = "app.dsn"
database_owner_url_file = "owner.dsn"

[pace]
poll_ms = 20
beat_ms = 100
identity_retry_ms = 20
retry_ms = 20
retry_ms_max = 100
rebroadcast_ms = 200

[rates.fixed]
BTC = "60000"
ETH = "3000"
USDT = "1"
USDC = "1"

[networks.bitcoin]
urls = {bitcoin}
confirmations = 2

[networks.ethereum]
urls = ["{ethereum}"]
confirmations = 2
contracts = {{ usdt_eth = "{usdt}" }}
pins = [[1, "{pin}"]]
"""


class RealSite:
    """Real chains around a vault; the vault is built in this process or run as a program."""

    def __init__(self, dsns: Dsns, bitcoind: Bitcoind, anvil: Anvil, folder: Path) -> None:
        self.dsns, self.bitcoind, self.anvil, self.folder = dsns, bitcoind, anvil, folder
        self.world = RealWorld()
        self.keyring = Keyring.from_words(WORDS, "dev")
        self.desk = DeskDouble(self.keyring.link_key().public_key(), self.world)
        self.broadcast_urls: list[str] = []  #: further bitcoin nodes
        self.index = -1
        self.usdt = ""
        self.owner = ""
        self.pin = ""  #: hash of the first block of the EVM chain
        self.rpc = Rpc(anvil.url)
        self._vaults: list[Vault] = []

    async def start(self) -> None:
        """Fund customers and the hot wallet on both chains; the desk listens."""
        node = self.bitcoind
        miner = await node.rpc("getnewaddress", path="/wallet/outside")
        await node.mine(101, miner)
        for _ in range(3):
            await node.rpc("sendtoaddress", self.hot("bitcoin"), Decimal(5), path="/wallet/outside")
        await node.mine(2)
        accounts = await self.rpc.call("eth_accounts", [], list[str])
        self.owner = accounts[0]
        self.usdt = await tokens.deploy_token(self.rpc, self.owner, "USDT", 6, 10**15)
        hot = self.hot("ethereum")
        await tokens.send(self.rpc, self.owner, to=hot, units=100 * ETH)
        await tokens.transfer(self.rpc, self.owner, self.usdt, hot, 10**13)
        await self.anvil.mine(2)
        self.pin = (await self.anvil.rpc("eth_getBlockByNumber", "0x1", False))["hash"]
        await self.desk.start()

    async def initialise(self) -> None:
        """What `swapdesk-vault init` does to the database."""
        await initialise(self.dsns.owner, self.world, "dev", link_key_of(self.keyring))

    async def stop(self) -> None:
        """Close what was opened here, vaults of a failed test too."""
        for vault in self._vaults:
            await vault.close()
        await self.desk.stop()
        await self.rpc.close()

    def write(self) -> Path:
        """The site file and what lies beside it; its path."""
        path = self.folder / "vault.toml"
        urls = [self.bitcoind.url, *self.broadcast_urls]
        path.write_text(
            SITE.format(
                desk=self.desk.url,
                bitcoin=str(urls).replace("'", '"'),
                ethereum=self.anvil.url,
                usdt=self.usdt,
                pin=self.pin,
            )
        )
        (self.folder / "passphrase").write_text("open sesame\n")
        (self.folder / "app.dsn").write_text(self.dsns.app)
        (self.folder / "owner.dsn").write_text(self.dsns.owner)
        return path

    def site(self) -> VaultSite:
        """The site file, read."""
        return load_site(self.write())

    async def vault(self) -> Vault:
        """A vault in this process."""
        vault = await build(self.site(), self.keyring, self.dsns.app, self.world)
        self._vaults.append(vault)
        return vault

    def hot(self, network: str) -> str:
        """The hot wallet's address."""
        family = {"bitcoin": "bitcoin", "ethereum": "evm"}[network]
        return codec.address_of_key(network, "dev", self.keyring.hot_key(family, 0).public)

    def customer(self, network: str, number: int) -> str:
        """An address that is not ours."""
        family = {"bitcoin": "bitcoin", "ethereum": "evm"}[network]
        return codec.address_of_key(network, "dev", CUSTOMER.deposit_key(family, number).public)

    def open(self, source: str, target: str) -> Binding:
        """An order opens, with customer's addresses of its own."""
        self.index += 1
        came, goes = ("bitcoin" if asset == "btc" else "ethereum" for asset in (source, target))
        family = {"bitcoin": "bitcoin", "ethereum": "evm"}[came]
        key = self.keyring.deposit_key(family, self.index).public
        binding = Binding(
            order_id=str(self.world.uuid()),
            network=came,
            index=self.index,
            address=codec.address_of_key(came, "dev", key),
            from_asset=source,
            to_asset=target,
            destination=self.customer(goes, 2 * self.index),
            refund_address=self.customer(came, 2 * self.index + 1),
            opened_at_ms=self.world.now(),
        )
        self.desk.bindings.append(binding)
        return binding

    async def pay_in(self, binding: Binding, units: int) -> Deposit:
        """The customer's deposit, mined to final depth."""
        if binding.network == "bitcoin":
            amount = Decimal(units).scaleb(-8)
            txid = await self.bitcoind.rpc(
                "sendtoaddress", binding.address, amount, path="/wallet/outside"
            )
            block = (await self.bitcoind.mine(2))[0]
            tx = await self.bitcoind.rpc("getrawtransaction", txid, 1, block)
            [vout] = [
                out["n"] for out in tx["vout"]
                if out["scriptPubKey"].get("address") == binding.address
            ]  # fmt: skip
            return Deposit(txid, str(vout), block, units)
        if binding.from_asset == "eth":
            txid = await tokens.send(self.rpc, self.owner, to=binding.address, units=units)
        else:
            txid = await tokens.transfer(self.rpc, self.owner, self.usdt, binding.address, units)
        await self.anvil.mine(2)
        receipt = await self.anvil.rpc("eth_getTransactionReceipt", txid)
        position = "value" if binding.from_asset == "eth" else "log:0"
        return Deposit(txid, position, receipt["blockHash"], units)

    def ask(
        self, binding: Binding, units: int, *deposits: Deposit,
        kind: Kind = "payout", attempt: int = 1,
    ) -> PayoutIntent:  # fmt: skip
        """The desk asks for what the order is bound to, for all that came in."""
        payout = kind == "payout"
        to = binding.destination if payout else binding.refund_address
        assert to is not None
        intent = PayoutIntent(
            order_id=binding.order_id,
            attempt=attempt,
            kind=kind,
            asset=binding.to_asset if payout else binding.from_asset,
            units=units,
            destination=to,
            covers_units=sum(deposit.units for deposit in deposits),
            deposits=deposits,
        )
        self.desk.intents.append(intent)
        return intent

    async def mine(self) -> None:
        """Blocks on both chains, enough for finality."""
        await self.bitcoind.mine(2)
        await self.anvil.mine(2)

    async def received(self, binding: Binding, kind: Kind = "payout") -> int:
        """What the customer's address of this order holds in blocks."""
        asset = binding.to_asset if kind == "payout" else binding.from_asset
        to = binding.destination if kind == "payout" else binding.refund_address
        assert to is not None
        if asset == "btc":
            found = await self.bitcoind.rpc("scantxoutset", "start", [f"addr({to})"])
            return int(found["total_amount"].scaleb(8))
        if asset == "eth":
            return int(await self.rpc.call("eth_getBalance", [to, "latest"], str), 16)
        return await tokens.balance(self.rpc, self.usdt, to)

    async def until(self, condition: Callable[[], bool], *, mine: bool = False) -> None:
        """Wait for a condition that others bring about; `mine` keeps the chains going."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                if mine:
                    await self.mine()
                await asyncio.sleep(0.05)
