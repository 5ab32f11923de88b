"""The chains of a demo: two real nodes and a simulated one, a customer with coins, and a miner."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from swapdesk.chains import codec
from swapdesk.chains.reader import BlockRef, NodeTrouble
from swapdesk.chains.rpc import Rpc
from swapdesk.demo import tokens
from swapdesk.demo.customer import Customer, Purse, tron_address
from swapdesk.demo.nodes import Anvil, Bitcoind
from swapdesk.demo.programs import SimulatedTron, in_thread
from swapdesk.world import World

#: A block on every chain this often.
BLOCK_SECONDS: Final = 1.0
#: A coinbase can be spent 100 blocks later; eleven of 50 coins each are enough for a demo.
FIRST_BLOCKS: Final = 111
#: Tokens that exist on anvil, and what the customer gets of them: units of 6 digits.
SUPPLY_UNITS: Final = 10**15
CUSTOMER_TOKENS: Final = 10**12
#: What the customer gets on the simulated chain, in units of 6 digits.
CUSTOMER_TRON: Final = 10**12
KEY_BYTES: Final = 32


class Chains:
    """Everything outside the desk. `owner` is the account that deployed the tokens."""

    def __init__(self, folder: Path, world: World) -> None:
        self.bitcoin = Bitcoind(folder / "bitcoin", wallet=True, world=world)
        self.anvil = Anvil(folder / "ethereum")
        self.tron = SimulatedTron(folder / "tron")
        self.owner = ""
        self.blocks: dict[str, dict[int, int]] = {"bitcoin": {}, "ethereum": {}, "tron": {}}
        self._world = world
        self._evm: Rpc | None = None
        self._sim: Rpc | None = None

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the three chains; `stack` stops them."""
        for each in (self.bitcoin, self.anvil, self.tron):
            stack.callback(each.stop)
        await asyncio.gather(
            in_thread(self.bitcoin.start), in_thread(self.anvil.start), in_thread(self.tron.start)
        )
        await self.tron.answers()
        self._evm, self._sim = Rpc(self.anvil.url), Rpc(self.tron.url)
        stack.push_async_callback(self._evm.close)
        stack.push_async_callback(self._sim.close)

    async def populate(self) -> Purse:
        """Mine the first coins, deploy the tokens, and hand a customer some of everything."""
        purse, _ = await asyncio.gather(self._customer(), self._first_coins())
        return purse

    async def _first_coins(self) -> None:
        await self.bitcoin.mine(FIRST_BLOCKS, await self.bitcoin.rpc("getnewaddress", "", "bech32"))

    async def _customer(self) -> Purse:
        assert self._evm, "not started"
        assert self._sim, "not started"
        self.owner, other = (await self._evm.call("eth_accounts", [], list[str]))[:2]
        eth_address = codec.evm_address(codec.evm_bytes(other))
        contracts = {}
        for code in ("usdt_eth", "usdc_eth"):
            symbol = code.partition("_")[0].upper()
            contracts[code] = await tokens.deploy_token(
                self._evm, self.owner, symbol, 6, SUPPLY_UNITS
            )
            await tokens.transfer(
                self._evm, self.owner, contracts[code], eth_address, CUSTOMER_TOKENS
            )
        secret = self._world.bytes(KEY_BYTES)
        for asset in ("trx", "usdt_trc20"):
            faucet = [tron_address(secret), asset, CUSTOMER_TRON]
            await self._sim.call("sim_faucet", faucet, str)
        return Purse(
            urls={
                "bitcoin": self.bitcoin.url,
                "ethereum": self.anvil.url,
                "tron": self.tron.url,
            },
            contracts=contracts,
            btc_address=await self.bitcoin.rpc("getnewaddress", "", "bech32"),
            eth_address=eth_address,
            tron_address=tron_address(secret),
            tron_secret=secret.hex(),
        )

    async def give(self, customer: Customer, code: str, address: str, units: int) -> str:
        """Coins for the desk's operator, from nobody in particular; the transaction id."""
        assert self._evm, "not started"
        assert self._sim, "not started"
        asset = customer.registry.assets[code]
        if asset.network == "tron":
            return await self._sim.call("sim_faucet", [address, code, units], str)
        if asset.network == "bitcoin":
            return await customer.pay(asset, address, units)
        if asset.contract is None:
            return await tokens.send(self._evm, self.owner, to=address, units=units)
        return await tokens.transfer(self._evm, self.owner, asset.contract, address, units)

    async def mine_on_schedule(self) -> None:
        """A block on every chain each BLOCK_SECONDS, until cancelled."""
        assert self._evm, "not started"
        assert self._sim, "not started"
        evm, sim = self._evm, self._sim

        async def bitcoin() -> int:
            await self.bitcoin.mine()
            return int(await self.bitcoin.rpc("getblockcount"))

        async def ethereum() -> int:
            await evm.call("evm_mine", [], str)
            return int(await evm.call("eth_blockNumber", [], str), 16)

        async def tron() -> int:
            return (await sim.call("sim_mine", [], BlockRef)).height

        async with asyncio.TaskGroup() as miners:
            for network, mine in (("bitcoin", bitcoin), ("ethereum", ethereum), ("tron", tron)):
                miners.create_task(self._mine(network, mine))

    async def _mine(self, network: str, mine: Callable[[], Awaitable[int]]) -> None:
        while True:
            with contextlib.suppress(NodeTrouble):  # the next round tries again
                height = await mine()
                self.blocks[network][height] = self._world.now()
            await asyncio.sleep(BLOCK_SECONDS)
