"""Real nodes on free loopback ports: bitcoind on regtest, and anvil. For the demo and the tests.

A node ends when we do, however we end. Blocks come only when somebody asks for them. bitcoind runs
as our readers must take it: pruned, without txindex, and without a wallet unless asked.
"""

import asyncio
import base64
import functools
import http.client
import shutil
import socket
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.rpc import NodeRefused
from swapdesk.child import Child
from swapdesk.world import RealWorld, World

#: A node here starts in well under a second; the rest is patience with a loaded machine.
START_SECONDS_MAX: Final = 60
STOP_SECONDS_MAX: Final = 30
#: Mining some hundred blocks in one call takes a second or two.
CALL_SECONDS_MAX: Final = 60
#: Another program may take a free port before the node does; then the next one is tried.
PORTS_TRIED_MAX: Final = 3
#: Anvil's chain, and the id that every tool gives to a local one.
ANVIL_CHAIN_ID: Final = 31337
#: Anybody can spend these outputs, and nobody does: where blocks are mined for their height only.
NOBODY: Final = "raw(51)"

_POLL_SECONDS: Final = 0.01
_USER: Final = "desk"
_PASSWORD_BYTES: Final = 18
#: bitcoind's error code while it loads blocks (RPC_IN_WARMUP).
_WARMING_UP: Final = -28
_LOOPBACK: Final = "127.0.0.1"
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class NodeMissing(RuntimeError):
    """The program is neither in .cache/nodes/bin nor on PATH."""


def find(name: str) -> Path:
    """Where the program is: fetched by `make nodes`, else on PATH. Raises NodeMissing."""
    fetched = Path(".cache/nodes/bin") / name
    for root in (Path(__file__).parents[3], Path.cwd()):
        if (root / fetched).exists():
            return root / fetched
    on_path = shutil.which(name)
    if on_path is None:
        raise NodeMissing(f"{name} is not here: run `make nodes`, or put it on PATH")
    return Path(on_path)


def free_port() -> int:
    """A TCP port of the loopback that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class _Node:
    """A child that answers JSON-RPC. It keeps its port and data over `stop` and `start`."""

    program: str  #: name of the binary
    probe: str  #: a method that answers once the node is up

    def __init__(self, folder: Path, authorization: str | None = None) -> None:
        self.folder = folder.absolute()
        self.port = 0
        self._headers = {"content-type": "application/json"}
        if authorization:
            self._headers["authorization"] = authorization
        self._child: Child | None = None

    def start(self) -> None:
        """Start and return when it answers. Blocking. Raises NodeMissing or NodeTrouble."""
        assert self._child is None, "already started"
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = find(self.program)
        for tried in range(1, PORTS_TRIED_MAX + 1):
            self._take_ports()
            child = Child(
                [binary, *self._flags()], log=self.folder / f"{self.program}.log", cwd=self.folder
            )
            self._child = child
            if self._await_answer(child):
                return
            self._child = None
            if tried == PORTS_TRIED_MAX or "in use" not in child.last_words():
                raise NodeTrouble(f"{self.program} does not start:\n{child.last_words()}")
            self.port = 0

    def stop(self) -> None:
        """SIGTERM, and after STOP_SECONDS_MAX SIGKILL. Its data stays. May be repeated."""
        child, self._child = self._child, None
        if child:
            child.stop(STOP_SECONDS_MAX)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._child, "not started"
        return self._child.pid

    async def rpc(self, method: str, *params: object, path: str = "/") -> Any:
        """The result of one call; fractions are Decimals. See `call` for errors."""
        return await asyncio.to_thread(self.call, method, *params, path=path)

    def call(self, method: str, *params: object, path: str = "/") -> Any:
        """The result of one call, blocking. NodeRefused: its own error; NodeTrouble: no answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection = http.client.HTTPConnection(_LOOPBACK, self.port, timeout=CALL_SECONDS_MAX)
        try:
            connection.request("POST", path, _ENCODER.encode(body), self._headers)
            raw = connection.getresponse().read()
            answer = _DECODER.decode(raw)
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as trouble:
            raise NodeTrouble(f"{self.program}: {method}: {trouble!r}") from trouble
        finally:
            connection.close()
        if answer.get("error"):
            raise NodeRefused(method, answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def _take_ports(self) -> None:
        self.port = self.port or free_port()

    def _flags(self) -> list[str]:
        raise NotImplementedError

    def _await_answer(self, child: Child) -> bool:
        """True when it answers, False when it ended instead. NodeTrouble after the deadline."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while child.status is None:
            try:
                self.call(self.probe)
            except NodeRefused as refused:
                if refused.code != _WARMING_UP:
                    raise
            except NodeTrouble:
                pass
            else:
                return True
            if time.monotonic() > deadline:
                self.stop()
                raise NodeTrouble(f"{self.program} is silent:\n{child.last_words()}")
            time.sleep(_POLL_SECONDS)
        return False


class Bitcoind(_Node):
    """bitcoind on regtest: Bitcoin Core, or Knots with Core's policy.

    `wallet` opens one named "outside" for whoever plays the world outside; ours never need it.
    `p2p` listens for other nodes on `p2p_port`.
    """

    program = "bitcoind"
    probe = "getblockcount"

    def __init__(
        self,
        folder: Path,
        *,
        wallet: bool = False,
        p2p: bool = False,
        world: World | None = None,
    ) -> None:
        password = (world or RealWorld()).token(_PASSWORD_BYTES)
        basic = base64.b64encode(f"{_USER}:{password}".encode()).decode()
        super().__init__(folder, f"Basic {basic}")
        self.p2p_port = 0
        self._wallet = wallet
        self._p2p = p2p
        self._password = password

    @property
    def url(self) -> str:
        """Where its RPC answers, with the credentials."""
        return f"http://{_USER}:{self._password}@{_LOOPBACK}:{self.port}"

    def start(self) -> None:
        """See _Node.start; also opens the wallet."""
        config = self.folder / "bitcoin.conf"
        self.folder.mkdir(parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(f"rpcuser={_USER}\nrpcpassword={self._password}\n")
        super().start()
        if self._wallet:
            self._open_wallet("outside")

    async def mine(self, blocks: int = 1, address: str | None = None) -> list[str]:
        """Mine now, paying `address` or nobody. Returns the block hashes."""
        if address is None:
            hashes: list[str] = await self.rpc("generatetodescriptor", blocks, NOBODY)
        else:
            hashes = await self.rpc("generatetoaddress", blocks, address)
        return hashes

    def _open_wallet(self, name: str) -> None:
        if name in self.call("listwallets"):
            return
        known = [each["name"] for each in self.call("listwalletdir")["wallets"]]
        self.call("loadwallet" if name in known else "createwallet", name)

    def _take_ports(self) -> None:
        if not self.port:
            self.p2p_port = free_port() if self._p2p else 0
        super()._take_ports()

    def _flags(self) -> list[str]:
        flags = ["-regtest", f"-datadir={self.folder}", "-server", f"-rpcport={self.port}"]
        flags += [f"-rpcbind={_LOOPBACK}", f"-rpcallowip={_LOOPBACK}", "-dnsseed=0"]
        flags += ["-fixedseeds=0", "-natpmp=0", "-fallbackfee=0.00002", "-prune=550"]
        flags += ["-dbcache=16", "-par=1", "-debuglogfile=0", "-printtoconsole=1"]
        if self._p2p:
            flags += ["-listen=1", f"-bind={_LOOPBACK}:{self.p2p_port}"]
        else:
            flags.append("-listen=0")
        if not self._wallet:
            flags.append("-disablewallet")
        if _is_knots(find(self.program)):
            flags += ["-corepolicy=1", "-softwareexpiry=0"]
        return flags


class Anvil(_Node):
    """anvil with its ten funded development accounts; mines only when asked.

    `state` is a file it loads at start and writes at stop, so that a chain survives both. Old
    states are kept in memory only: on disk they would pile up under the home folder for ever.
    """

    program = "anvil"
    probe = "eth_chainId"

    def __init__(
        self, folder: Path, *, state: Path | None = None, chain_id: int = ANVIL_CHAIN_ID
    ) -> None:
        super().__init__(folder)
        self._state = state
        self._chain_id = chain_id

    @property
    def url(self) -> str:
        """Where its RPC answers."""
        return f"http://{_LOOPBACK}:{self.port}"

    async def mine(self, blocks: int = 1) -> None:
        """Mine now; waiting transactions go into the first block."""
        await self.rpc("anvil_mine", hex(blocks))

    def _flags(self) -> list[str]:
        flags = ["--host", _LOOPBACK, "--port", str(self.port), "--chain-id", str(self._chain_id)]
        flags += ["--no-mining", "--slots-in-an-epoch", "1", "--max-persisted-states", "0"]
        flags += ["--threads", "2", "--silent"]
        if self._state:
            flags += ["--state", str(self._state.absolute())]
        return flags


@functools.cache
def _is_knots(binary: Path) -> bool:
    """Knots knows flags that Core refuses."""
    asked = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return "Knots" in asked.stdout
