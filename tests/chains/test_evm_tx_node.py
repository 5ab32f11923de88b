"""Our EVM transactions on a real node: accepted, mined, from the sender and at the cost we read."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swapdesk.chains.codec import address_of_key, evm_address, evm_bytes
from swapdesk_vault.keys import Keyring
from swapdesk_vault.senders import evm_tx
from swapdesk_vault.senders.evm_tx import EvmTx

pytestmark = pytest.mark.nodes

CHAIN_ID = 31337
GWEI = 10**9
KEY = Keyring(bytes(range(64)), "dev").hot_key("evm", 0)
SENDER = address_of_key("ethereum", "dev", KEY.public)
TO = bytes(range(1, 21))
#: Runtime code that logs its calldata and stops: CALLDATACOPY, LOG0.
LOGGER = "0x366000600037366000a000"


class Node:
    """An anvil that mines when told to, and its JSON-RPC."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, *params: object) -> Any:
        """The result of one call; an error in the body raises ValueError with its text."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
        if "error" in told:
            raise ValueError(told["error"]["message"])
        return told["result"]


@pytest.fixture
def node() -> Iterator[Node]:
    """A fresh chain on which the hot wallet holds a thousand ether."""
    binary = Path(__file__).parents[2] / ".cache/nodes/bin/anvil"
    if not binary.exists():
        pytest.skip("no anvil: make nodes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(binary, "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID)),
            *("--no-mining", "--max-persisted-states", "0", "--threads", "2", "--silent"),
        ]
    )
    rpc = Node(f"http://127.0.0.1:{port}/")
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                rpc("anvil_setBalance", SENDER, hex(1000 * 10**18))
                break
            except OSError:
                assert process.poll() is None, "anvil ended"
                assert time.monotonic() < deadline, "anvil does not answer"
                time.sleep(0.05)
        yield rpc
    finally:
        process.terminate()
        process.wait(30)


def payment(nonce: int, *, to: bytes = TO, value: int = 0, data: bytes = b"") -> EvmTx:
    """A transaction with room for gas."""
    return EvmTx(CHAIN_ID, nonce, GWEI, 50 * GWEI, 100_000, to, value, data)


def test_native_payment_is_mined(node: Node) -> None:
    """The node takes the bytes under our hash, from our sender, and charges no more than read."""
    tx = payment(0, value=123456789 * GWEI)
    raw = evm_tx.sign(tx, KEY)
    assert node("eth_sendRawTransaction", "0x" + raw.hex()) == evm_tx.txid(raw)
    node("evm_mine")
    receipt = node("eth_getTransactionReceipt", evm_tx.txid(raw))
    assert receipt["status"] == "0x1"
    assert evm_bytes(receipt["from"]) == evm_bytes(SENDER) == evm_tx.decode(raw)[1]
    assert evm_address(evm_bytes(receipt["to"])) == evm_address(TO)
    assert int(node("eth_getBalance", evm_address(TO), "latest"), 16) == tx.value
    left = int(node("eth_getBalance", SENDER, "latest"), 16)
    assert 0 < 1000 * 10**18 - tx.value - left <= tx.fee_units_max


def test_transfer_calldata_reaches_the_contract(node: Node) -> None:
    """A contract is called with exactly the bytes that decode_transfer reads."""
    node("anvil_setCode", evm_address(TO), LOGGER)
    data = evm_tx.transfer_data(bytes(range(20)), 10**30)
    raw = evm_tx.sign(payment(0, data=data), KEY)
    node("eth_sendRawTransaction", "0x" + raw.hex())
    node("evm_mine")
    (log,) = node("eth_getTransactionReceipt", evm_tx.txid(raw))["logs"]
    assert bytes.fromhex(log["data"][2:]) == data
    shown = node("eth_getTransactionByHash", evm_tx.txid(raw))
    assert evm_tx.decode_transfer(bytes.fromhex(shown["input"][2:])) == (bytes(range(20)), 10**30)


def test_a_dearer_transaction_with_the_same_nonce_replaces(node: Node) -> None:
    """Two transactions of one nonce: only the dearer one is ever mined."""
    cheap = evm_tx.sign(payment(0, value=1), KEY)
    first = node("eth_sendRawTransaction", "0x" + cheap.hex())
    dear = evm_tx.sign(EvmTx(CHAIN_ID, 0, 20 * GWEI, 100 * GWEI, 100_000, TO, 1), KEY)
    second = node("eth_sendRawTransaction", "0x" + dear.hex())
    node("evm_mine")
    assert node("eth_getTransactionReceipt", second)["status"] == "0x1"
    assert node("eth_getTransactionReceipt", first) is None
    with pytest.raises(ValueError, match="nonce too low"):
        node("eth_sendRawTransaction", "0x" + cheap.hex())


def test_another_chain_refuses(node: Node) -> None:
    """A signature for another chain id is worth nothing here."""
    tx = EvmTx(1, 0, GWEI, 50 * GWEI, 21_000, TO, 1)
    with pytest.raises(ValueError, match=r"(?i)chain"):
        node("eth_sendRawTransaction", "0x" + evm_tx.sign(tx, KEY).hex())
