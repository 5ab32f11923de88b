"""The world outside the desk: somebody with coins on every chain of the demo.

Bitcoin lies in a wallet of the regtest node, coins and tokens on Ethereum at an unlocked account of
anvil, and on the SIMULATED Tron behind a key of the customer's own. Everything needed to pay is
written to a 0600 file, so that `swapdesk demo pay` is the same customer in another process.
"""

import os
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from coincurve import PrivateKey

from swapdesk import assets
from swapdesk.assets import Asset, NetworkSetup, Registry
from swapdesk.chains import codec, simtx
from swapdesk.chains.reader import Inclusion
from swapdesk.chains.rpc import Rpc
from swapdesk.demo import tokens
from swapdesk.money import show

FILE: Final = "customer.json"
#: What a transaction on the simulated chain pays, in units of TRX.
SIM_FEE_UNITS: Final = 1_000
#: A node that was just started or is mining answers within this.
SECONDS_MAX: Final = 20


class Purse(msgspec.Struct, frozen=True):
    """What the customer knows: where the nodes are, and how to pay there."""

    urls: dict[str, str]  #: network -> node, with credentials
    contracts: dict[str, str]  #: token code -> contract on anvil
    btc_address: str
    eth_address: str
    tron_address: str
    tron_secret: str  #: hexadecimal

    def registry(self) -> Registry:
        """The assets of the demo."""
        return assets.load("dev", setups(self.contracts))

    def save(self, folder: Path) -> None:
        """Write to `folder`, readable by its owner only."""
        write_private(folder / FILE, msgspec.json.format(msgspec.json.encode(self)).decode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote. FileNotFoundError when no demo ran in `folder`."""
        return msgspec.json.decode((folder / FILE).read_bytes(), type=cls)


class Customer:
    """Pays, receives, and can look a payment up. Amounts are minor units.

    NodeRefused and NodeTrouble of the nodes pass through.
    """

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.registry = purse.registry()
        self.rpc = {
            network: Rpc(url, seconds_max=SECONDS_MAX) for network, url in purse.urls.items()
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for rpc in self.rpc.values():
            await rpc.close()

    def address(self, network: str) -> str:
        """Where the customer is paid on `network`."""
        purse = self.purse
        return {
            "bitcoin": purse.btc_address,
            "ethereum": purse.eth_address,
            "tron": purse.tron_address,
        }[network]

    async def pay(self, asset: Asset, address: str, units: int) -> str:
        """Send; the transaction id. It waits in the mempool until a block is mined."""
        rpc = self.rpc[asset.network]
        if asset.network == "bitcoin":
            return await rpc.call("sendtoaddress", [address, show(units, asset.decimals)], str)
        if asset.network == "tron":
            return await self._pay_simulated(rpc, asset, address, units)
        sender = self.purse.eth_address
        if asset.contract is None:
            return await tokens.send(rpc, sender, to=address, units=units)
        return await tokens.transfer(rpc, sender, asset.contract, address, units)

    async def _pay_simulated(self, rpc: Rpc, asset: Asset, address: str, units: int) -> str:
        network = self.registry.networks[asset.network]
        assert network.chain is not None
        sender = self.purse.tron_address
        tx = simtx.SimTx(
            chain=network.chain,
            sender=sender,
            nonce=await rpc.call("sim_nonce", [sender, True], int),
            to=address,
            asset=asset.code,
            units=units,
            fee_units=SIM_FEE_UNITS,
        )
        key = PrivateKey(bytes.fromhex(self.purse.tron_secret))
        raw = simtx.assemble(tx, key.sign_recoverable(simtx.body(tx)))
        return await rpc.call("sim_send", [raw.hex()], str)

    async def balance(self, asset: Asset, address: str) -> int:
        """What the node says lies at an address, in blocks."""
        rpc = self.rpc[asset.network]
        if asset.network == "bitcoin":
            found = await rpc.call("scantxoutset", ["start", [f"addr({address})"]], dict[str, Any])
            return coins_to_units(Decimal(found["total_amount"]), asset.decimals)
        if asset.network == "tron":
            return await rpc.call("sim_balance", [address, asset.code], int)
        if asset.contract is None:
            return int(await rpc.call("eth_getBalance", [address, "latest"], str), 16)
        return await tokens.balance(rpc, asset.contract, address)

    async def block_of(self, network: str, txid: str) -> int | None:
        """Height of the block that holds one of the customer's own payments or receipts.

        None while it waits, and for a payment that failed in its block.
        """
        rpc = self.rpc[network]
        if network == "bitcoin":
            found = await rpc.call("gettransaction", [txid], dict[str, Any])
            return int(found["blockheight"]) if found["confirmations"] > 0 else None
        if network == "tron":
            placed = await rpc.maybe("sim_locate", [txid, 0], Inclusion)
            return placed.ref.height if placed and placed.ok else None
        receipt = await rpc.maybe("eth_getTransactionReceipt", [txid], dict[str, Any])
        good = receipt is not None and receipt["status"] == "0x1"
        return int(receipt["blockNumber"], 16) if receipt and good else None


def setups(contracts: dict[str, str]) -> dict[str, NetworkSetup]:
    """The networks of the demo: two with real nodes, Tron simulated."""
    return {
        "bitcoin": NetworkSetup(),
        "ethereum": NetworkSetup(contracts=contracts),
        "tron": NetworkSetup(reader="simulated"),
    }


def tron_address(secret: bytes) -> str:
    """The address of a key on the simulated Tron."""
    return codec.address_of_key("tron", "dev", PrivateKey(secret).public_key.format())


def coins_to_units(coins: Decimal, decimals: int) -> int:
    """Exact minor units of a node's decimal. ValueError if it is finer than the asset."""
    units = coins.scaleb(decimals)
    if units != units.to_integral_value():
        raise ValueError("finer than the asset")
    return int(units)


def write_private(path: Path, text: str) -> None:
    """A file that nobody else can read, from its first instant on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
