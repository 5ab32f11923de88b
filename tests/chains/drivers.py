"""Hands on real chains for the conformance suite: pay, mine, undo blocks, stop the node."""

import asyncio
import hashlib
import itertools
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from swapdesk import assets
from swapdesk.assets import NetworkSetup, Registry
from swapdesk.chains import base58, codec
from swapdesk.chains.bitcoin import BitcoinReader
from swapdesk.chains.evm import EvmReader
from swapdesk.chains.reader import Reader
from swapdesk.chains.rpc import Caller, Rpc
from swapdesk.chains.simchain import SimChain
from swapdesk.chains.simulated import LocalCaller, SimulatedReader
from swapdesk.child import Child
from swapdesk.demo import tokens
from swapdesk.demo.nodes import Anvil, Bitcoind, free_port
from swapdesk.world import RealWorld
from swapdesk_vault.keys import PrivateKey
from tests.nodes import need

START_SECONDS = 30
STOP_SECONDS = 10
#: Blocks that a pruned node always keeps (MIN_BLOCKS_TO_KEEP).
KEPT_BLOCKS = 288
_NUMBERS = itertools.count(1)


class Driver(Protocol):
    """One chain under test. Amounts are minor units."""

    registry: Registry
    network: assets.Network
    rpc: Caller
    waits: frozenset[str]  #: assets whose waiting transfers the reader can see
    several: str | None  #: asset of which one transaction can pay several addresses

    async def start(self, folder: Path) -> None:
        """Run the node; every asset can be paid afterwards."""
        ...

    async def pay(self, asset: str, payments: dict[str, int]) -> str:
        """One transaction into the mempool; its id."""
        ...

    async def mine(self, count: int = 1) -> None:
        """Blocks on top, the first one with all that waits."""
        ...

    async def reorg(self, depth: int, keep: Literal["mempool", "drop"]) -> None:
        """Take `depth` blocks out of the active chain; their transactions wait again, or never can."""
        ...

    async def close(self) -> None:
        """End the node at once."""
        ...

    def reader(self, rpc: Caller | None = None) -> Reader:
        """A reader of this chain, on its own connection or on `rpc`."""
        ...

    def fresh_address(self) -> str:
        """An address nobody used before."""
        ...


class _Chain:
    """What the drivers share."""

    registry: Registry
    network: assets.Network
    rpc: Caller
    url: str
    _stop: Callable[[], object] | None = None

    def _connect(self, url: str, stop: Callable[[], object]) -> None:
        self.url, self._stop = url, stop
        self.rpc = Rpc(url)

    async def close(self) -> None:
        """See Driver.close."""
        if self._stop is not None:
            await self.rpc.close()
            self._stop()

    def fresh_address(self) -> str:
        """An address nobody used before."""
        secret = hashlib.sha256(f"address {next(_NUMBERS)}".encode()).digest()
        return codec.address_of_key(self.network.key, "dev", PrivateKey(secret).public)


class PrunedBitcoind(Bitcoind):
    """One that really prunes a short chain: its block files are tiny."""

    def _flags(self) -> list[str]:
        return [*super()._flags(), "-prune=1", "-fastprune"]


class BitcoinDriver(_Chain):
    """A pruned bitcoind without txindex and without wallet."""

    waits = frozenset({"btc"})
    several: str | None = "btc"
    OWN_BLOCKS = 60
    BURIED_BLOCKS = 700
    FEE = 10_000
    COIN = 50 * 10**8

    def __init__(self) -> None:
        self.registry = assets.load("dev", {"bitcoin": NetworkSetup()})
        self.network = self.registry.networks["bitcoin"]
        self._secret = hashlib.sha256(b"miner").digest()
        self._own = codec.address_of_key("bitcoin", "dev", PrivateKey(self._secret).public)
        self._coins: list[str] = []  #: coinbase txids of 50 coins each
        self._spent: dict[str, str] = {}  #: txid -> the coin it spends

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        need("bitcoind")
        node = PrunedBitcoind(folder)
        node.start()
        self._connect(node.url, node.stop)
        blocks = await self._call("generatetoaddress", [self.OWN_BLOCKS, self._own])
        for block in blocks:
            self._coins.append((await self._call("getblock", [block, 1]))["tx"][0])
        await self.mine(self.BURIED_BLOCKS)
        await self._call("pruneblockchain", [self.BURIED_BLOCKS - KEPT_BLOCKS])

    async def pay(self, asset: str, payments: dict[str, int]) -> str:
        """See Driver.pay."""
        assert asset == "btc"
        coin = self._coins.pop()
        txid: str = await self._call("sendrawtransaction", [await self._signed(coin, payments)])
        self._spent[txid] = coin
        return txid

    async def mine(self, count: int = 1) -> None:
        """See Driver.mine. To a new address each time, or a block could be mined twice."""
        await self._call("generatetoaddress", [count, self.fresh_address()])

    async def reorg(self, depth: int, keep: Literal["mempool", "drop"]) -> None:
        """See Driver.reorg. What is dropped is double-spent in the competing block."""
        height = await self._call("getblockcount", [])
        undone = await self._call("getblockhash", [height - depth + 1])
        await self._call("invalidateblock", [undone])
        if keep == "drop":
            waiting = await self._call("getrawmempool", [])
            rivals = [await self._signed(self._spent[txid], {}) for txid in waiting]
            await self._call("generateblock", [self.fresh_address(), rivals])

    def reader(self, rpc: Caller | None = None) -> Reader:
        """See Driver.reader."""
        return BitcoinReader(self.network, self.registry, rpc or Rpc(self.url))

    async def _signed(self, coin: str, payments: dict[str, int]) -> str:
        change = self.COIN - self.FEE - sum(payments.values())
        outs = [{to: show_coins(units)} for to, units in payments.items()]
        outs.append({self.fresh_address(): show_coins(change)})
        raw = await self._call("createrawtransaction", [[{"txid": coin, "vout": 0}], outs])
        wif = base58.encode_check(b"\xef" + self._secret + b"\x01")
        signed: str = (await self._call("signrawtransactionwithkey", [raw, [wif]]))["hex"]
        return signed

    async def _call(self, method: str, params: list[object]) -> Any:
        return await self.rpc.call(method, params, object)


class EvmDriver(_Chain):
    """An anvil that mines on demand. USDT is a plain token, USDC returns nothing like Tether."""

    waits = frozenset({"eth"})
    several: str | None = "usdt_eth"
    SUPPLY = 10**30

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        need("anvil")
        node = Anvil(folder)
        node.start()
        self._connect(node.url, node.stop)
        self.accounts = await self.rpc.call("eth_accounts", [], list[str])
        self.owner = self.accounts[0]
        supply = tokens.words(self.SUPPLY)
        contracts = {
            "usdt_eth": await tokens.deploy_token(self.rpc, self.owner, "USDT", 6, self.SUPPLY),
            "usdc_eth": await tokens.deploy(self.rpc, self.owner, "OldToken", supply),
        }
        self.registry = assets.load("dev", {"ethereum": NetworkSetup(contracts=contracts)})
        self.network = self.registry.networks["ethereum"]
        self.tokens = contracts

    async def pay(self, asset: str, payments: dict[str, int]) -> str:
        """See Driver.pay."""
        if len(payments) > 1:
            return await tokens.transfer_many(self.rpc, self.owner, self.tokens[asset], payments)
        [(to, units)] = payments.items()
        if asset == "eth":
            return await tokens.send(self.rpc, self.owner, to=to, units=units)
        return await tokens.transfer(self.rpc, self.owner, self.tokens[asset], to, units)

    async def mine(self, count: int = 1) -> None:
        """See Driver.mine."""
        for _ in range(count):
            await self.rpc.call("evm_mine", [], str)

    async def reorg(self, depth: int, keep: Literal["mempool", "drop"]) -> None:
        """See Driver.reorg. anvil puts empty blocks in their place and drops the transactions."""
        height = int(await self.rpc.call("eth_blockNumber", [], str), 16)
        raws: list[str] = []
        for number in range(height - depth + 1, height + 1):
            block: Any = await self.rpc.call("eth_getBlockByNumber", [hex(number), False], object)
            raws += [
                await self.rpc.call("eth_getRawTransactionByHash", [txid], str)
                for txid in block["transactions"]
            ]
        await self.rpc.maybe("anvil_reorg", [depth, []], object)
        for raw in raws if keep == "mempool" else []:
            await self.rpc.call("eth_sendRawTransaction", [raw], str)

    def reader(self, rpc: Caller | None = None) -> Reader:
        """See Driver.reader."""
        return EvmReader(self.network, self.registry, rpc or Rpc(self.url))


class SimulatedDriver(_Chain):
    """The program of the simulated chain, standing for Tron."""

    waits = frozenset({"trx", "usdt_trc20"})
    several: str | None = None

    def __init__(self) -> None:
        self.registry = assets.load("dev", {"tron": NetworkSetup(reader="simulated")})
        self.network = self.registry.networks["tron"]

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        program = [sys.executable, "-m", "swapdesk.chains.simchain", "--network", "tron"]
        log, port = folder / "log", free_port()
        where = ["--file", str(folder / "chain"), "--port", str(port)]
        child = Child([*program, *where], log=log, cwd=folder)
        self._connect(f"http://127.0.0.1:{port}", lambda: child.stop(STOP_SECONDS))
        async with asyncio.timeout(START_SECONDS):
            while b"ready" not in log.read_bytes():
                await asyncio.sleep(0.01)

    async def pay(self, asset: str, payments: dict[str, int]) -> str:
        """See Driver.pay."""
        [(to, units)] = payments.items()
        return await self.rpc.call("sim_faucet", [to, asset, units], str)

    async def mine(self, count: int = 1) -> None:
        """See Driver.mine."""
        await self.rpc.call("sim_mine", [count], object)

    async def reorg(self, depth: int, keep: Literal["mempool", "drop"]) -> None:
        """See Driver.reorg."""
        await self.rpc.call("sim_reorg", [depth, keep], object)

    def reader(self, rpc: Caller | None = None) -> Reader:
        """See Driver.reader."""
        return SimulatedReader(self.network, rpc or Rpc(self.url))


class LocalDriver(SimulatedDriver):
    """The simulated chain inside this process, as the simulation by seed uses it."""

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        self.rpc = self.caller = LocalCaller(
            SimChain(self.network, self.registry, RealWorld(), str(folder / "chain"))
        )

    async def close(self) -> None:
        """See Driver.close."""
        self.caller.stopped = True
        self.caller.chain.close()

    def reader(self, rpc: Caller | None = None) -> Reader:
        """See Driver.reader."""
        return SimulatedReader(self.network, rpc or self.rpc)


class Tampering:
    """A node that lies: answers of a real one, changed on the way."""

    def __init__(self, rpc: Caller, changes: dict[str, Any]) -> None:
        """`changes`: method -> function of the decoded answer, or an exception to raise."""
        self._rpc = rpc
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)

    async def maybe(self, method: str, params: Sequence[object], shape: Any) -> Any:
        """See Caller.maybe."""
        change = self._changes.get(method)
        if isinstance(change, Exception):
            raise change
        answer = await self._rpc.maybe(method, params, shape)
        return change(answer) if change else answer

    async def call(self, method: str, params: Sequence[object], shape: Any) -> Any:
        """See Caller.call."""
        return await self.maybe(method, params, shape)


def show_coins(units: int) -> str:
    """Bitcoin's RPC takes amounts as decimal strings."""
    return format(Decimal(units).scaleb(-8), "f")
