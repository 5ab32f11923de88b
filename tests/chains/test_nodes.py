"""The nodes of demo and tests: they start, keep their chain, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from swapdesk.chains.rpc import NodeRefused
from swapdesk.demo.nodes import Anvil, Bitcoind
from tests.nodes import need

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]

DEADLINE_SECONDS = 30


async def test_bitcoind_is_pruned_regtest_with_a_wallet_outside(bitcoind: Bitcoind) -> None:
    """What a test gets: height 0, pruned, no index, and a wallet that can be paid."""
    facts = await bitcoind.rpc("getblockchaininfo")
    assert (facts["chain"], facts["blocks"], facts["pruned"]) == ("regtest", 0, True)
    assert await bitcoind.rpc("getindexinfo") == {}
    address = await bitcoind.rpc("getnewaddress", "", "bech32")
    assert len(await bitcoind.mine(101, address)) == 101
    assert await bitcoind.rpc("getbalance") == Decimal(50)


async def test_bitcoind_keeps_chain_and_port_over_a_kill(bitcoind: Bitcoind) -> None:
    """After kill -9 it starts again where it was, under the same address."""
    await bitcoind.mine(3)
    url = bitcoind.url
    os.kill(bitcoind.pid, signal.SIGKILL)
    bitcoind.stop()
    bitcoind.start()
    assert bitcoind.url == url
    assert await bitcoind.rpc("getwalletinfo")
    assert await bitcoind.rpc("getblockcount") <= 3


async def test_two_bitcoinds_reorganise(bitcoind_pair: tuple[Bitcoind, Bitcoind]) -> None:
    """Apart, each mines its own chain; connected, the longer one wins on both."""
    first, second = bitcoind_pair
    await first.mine(2)
    longer = await second.mine(4)
    await first.rpc("addnode", f"127.0.0.1:{second.p2p_port}", "onetry")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while await first.rpc("getbestblockhash") != longer[-1]:
        assert time.monotonic() < deadline, "the longer chain does not arrive"


async def test_an_error_of_the_node_is_told(bitcoind: Bitcoind) -> None:
    """A refused call raises with the node's own code; no wallet means no wallet."""
    with pytest.raises(NodeRefused) as refused:
        await bitcoind.rpc("getblockhash", 10**6)
    assert refused.value.code == -8


async def test_anvil_mines_only_when_asked(anvil: Anvil) -> None:
    """A transaction waits for a block, and the block before is still readable afterwards."""
    assert await anvil.rpc("eth_chainId") == hex(31337)
    rich, other = (await anvil.rpc("eth_accounts"))[:2]
    payment = {"from": rich, "to": other, "value": hex(10**18)}
    before = await anvil.rpc("eth_getBalance", other, "latest")
    txid = await anvil.rpc("eth_sendTransaction", payment)
    assert await anvil.rpc("eth_blockNumber") == "0x0"
    await anvil.mine(5)
    assert (await anvil.rpc("eth_getTransactionReceipt", txid))["blockNumber"] == "0x1"
    assert await anvil.rpc("eth_getBalance", other, "0x0") == before


async def test_anvil_state_survives_a_stop(tmp_path: Path) -> None:
    """With a state file the chain is there again after SIGTERM, under the same address."""
    need("anvil")
    node = Anvil(tmp_path / "anvil", state=tmp_path / "state.json")
    with node:
        await node.mine(7)
    with node:
        assert await node.rpc("eth_blockNumber") == "0x7"


PARENT = """
import sys
from pathlib import Path
from swapdesk.demo.nodes import Anvil, Bitcoind
nodes = [Bitcoind(Path(sys.argv[1]) / "b"), Anvil(Path(sys.argv[1]) / "a")]
for node in nodes:
    node.start()
print(*(node.pid for node in nodes), flush=True)
sys.stdin.read()
"""


def test_nodes_die_with_their_parent(tmp_path: Path) -> None:
    """SIGKILL of whoever started them leaves no node behind."""
    need("bitcoind")
    need("anvil")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    assert parent.stdin
    with parent.stdin, parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a node outlives its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
