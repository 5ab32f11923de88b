"""Hands on real chains for the conformance suite: pay, mine, undo blocks, stop the node."""

import asyncio
import contextlib
import hashlib
import itertools
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from swapdesk import assets
from swapdesk.assets import NetworkSetup, Registry
from swapdesk.chains import base58, codec
from swapdesk.chains.bitcoin import BitcoinReader
from swapdesk.chains.evm import EvmReader
from swapdesk.chains.reader import NodeTrouble, Reader
from swapdesk.chains.rpc import Caller, Rpc
from swapdesk.chains.simulated import SimulatedReader
from swapdesk.demo import tokens
from swapdesk_vault.keys import PrivateKey

NODES = Path(__file__).parents[2] / ".cache/nodes/bin"
START_SECONDS = 30
_NUMBERS = itertools.count(1)


class Driver(Protocol):
    """One chain under test. Amounts are minor units."""

    registry: Registry
    network: assets.Network
    rpc: Rpc
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


class _Node:
    """What the drivers share: a process and the RPC to it."""

    registry: Registry
    network: assets.Network
    rpc: Rpc
    url: str = "http://127.0.0.1:1"
    _process: asyncio.subprocess.Process | None = None

    async def _run(self, *command: str | Path, log: Path) -> asyncio.subprocess.Process:
        with log.open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out)
        return self._process

    async def _ready(self, method: str) -> None:
        async with asyncio.timeout(START_SECONDS):
            while True:
                with contextlib.suppress(NodeTrouble):
                    await self.rpc.call(method, [], object)
                    return
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """See Driver.close."""
        if self._process is not None:
            await self.rpc.close()
            self._process.kill()
            await self._process.wait()

    def fresh_address(self) -> str:
        """An address nobody used before."""
        secret = hashlib.sha256(f"address {next(_NUMBERS)}".encode()).digest()
        return codec.address_of_key(self.network.key, "dev", PrivateKey(secret).public)


class BitcoinDriver(_Node):
    """A pruned bitcoind without txindex and without wallet."""

    waits = frozenset({"btc"})
    several: str | None = "btc"
    OWN_BLOCKS = 60
    BURIED_BLOCKS = 440  #: more than the 288 that a pruned node always keeps
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
        binary, port = find_node("bitcoind"), free_port()
        self.url = f"http://u:p@127.0.0.1:{port}"
        self.rpc = Rpc(self.url)
        options = "-regtest -server -listen=0 -dnsseed=0 -disablewallet -prune=1 -fastprune -par=1"
        options += " -dbcache=16 -persistmempool=0 -rpcuser=u -rpcpassword=p"
        where = [f"-datadir={folder}", f"-rpcport={port}"]
        await self._run(binary, *options.split(), *where, log=folder / "log")
        await self._ready("getblockcount")
        blocks = await self._call("generatetoaddress", [self.OWN_BLOCKS, self._own])
        for block in blocks:
            self._coins.append((await self._call("getblock", [block, 1]))["tx"][0])
        await self.mine(self.BURIED_BLOCKS)
        await self._call("pruneblockchain", [self.BURIED_BLOCKS // 2])

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


class EvmDriver(_Node):
    """An anvil that mines on demand. USDT is a plain token, USDC returns nothing like Tether."""

    waits = frozenset({"eth"})
    several: str | None = "usdt_eth"
    SUPPLY = 10**30

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        binary, port = find_node("anvil"), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.rpc = Rpc(self.url)
        options = "--no-mining --max-persisted-states 0 --threads 1 --silent --chain-id 31337"
        await self._run(binary, "--port", str(port), *options.split(), log=folder / "log")
        await self._ready("eth_chainId")
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


class SimulatedDriver(_Node):
    """The program of the simulated chain, standing for Tron."""

    waits = frozenset({"trx", "usdt_trc20"})
    several: str | None = None

    def __init__(self) -> None:
        self.registry = assets.load("dev", {"tron": NetworkSetup(reader="simulated")})
        self.network = self.registry.networks["tron"]

    async def start(self, folder: Path) -> None:
        """See Driver.start."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.rpc = Rpc(self.url)
        program = [sys.executable, "-m", "swapdesk.chains.simchain", "--network", "tron"]
        where = ["--file", str(folder / "chain"), "--port", str(port)]
        await self._run(*program, *where, log=folder / "log")
        await self._ready("sim_tip")

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


class Tampering:
    """A node that lies: answers of a real one, changed on the way."""

    def __init__(self, rpc: Rpc, changes: dict[str, Any]) -> None:
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


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def find_node(name: str) -> Path:
    """The program of `make nodes`, or of the PATH. Without one: skip here, fail in CI."""
    found = NODES / name if (NODES / name).exists() else shutil.which(name)
    if found is None:
        assert "CI" not in os.environ, f"no {name}: make nodes"
        pytest.skip(f"no {name}: make nodes")
    return Path(found)
