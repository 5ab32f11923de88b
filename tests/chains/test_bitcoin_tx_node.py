"""Our Bitcoin transactions on a real node: accepted, relayed by policy, mined, and as planned."""

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from swapdesk.chains.codec import address_of_key, address_of_script, check_address, script_of
from swapdesk.chains.digest import hash160
from swapdesk_vault.keys import Keyring, PrivateKey
from swapdesk_vault.senders import bitcoin_tx
from swapdesk_vault.senders.bitcoin_plan import FeeCaps, Plan, plan_payment
from swapdesk_vault.senders.bitcoin_tx import Coin

pytestmark = pytest.mark.nodes

RING = Keyring(bytes(range(64)), "dev")
HOT = [RING.hot_key("bitcoin", index) for index in range(3)]
HOT_SCRIPTS = [b"\0\x14" + hash160(key.public) for key in HOT]
CAPS = FeeCaps(units_max=100_000, bps_max=100)
STRANGER = RING.deposit_key("bitcoin", 9).public
DESTINATIONS = {
    "p2pkh": b"\x76\xa9\x14" + hash160(STRANGER) + b"\x88\xac",
    "p2sh": b"\xa9\x14" + hash160(b"\x51") + b"\x87",
    "p2wpkh": b"\0\x14" + hash160(STRANGER),
    "p2wsh": b"\0\x20" + bytes(range(32)),
    "p2tr": b"\x51\x20" + STRANGER[1:],
}


class Node:
    """A bitcoind on regtest and its JSON-RPC."""

    def __init__(self, url: str, login: str) -> None:
        self._url = url
        self._login = "Basic " + base64.b64encode(login.encode()).decode()

    def __call__(self, method: str, *params: object) -> Any:
        """The result of one call; an error body raises ValueError with its text."""
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Authorization": self._login})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer, parse_float=Decimal)["result"]
        except urllib.error.HTTPError as wrong:
            with wrong:
                raise ValueError(wrong.read().decode()) from None


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A fresh regtest chain whose first three rewards are mature coins of the hot wallet."""
    binary = Path(__file__).parents[2] / ".cache/nodes/bin/bitcoind"
    if not binary.exists():
        pytest.skip("no bitcoind: make nodes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(binary, "-regtest", "-server", "-listen=0", "-dnsseed=0", "-softwareexpiry=0"),
            *(f"-datadir={tmp_path_factory.mktemp('bitcoind')}", f"-rpcport={port}"),
            *("-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcuser=u", "-rpcpassword=p"),
            *("-corepolicy=1", "-printtoconsole=0", "-dbcache=16", "-par=1"),
        ]
    )
    rpc = Node(f"http://127.0.0.1:{port}/", "u:p")
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                rpc("getblockcount")
                break
            except (ValueError, OSError):
                assert process.poll() is None, "bitcoind ended"
                assert time.monotonic() < deadline, "bitcoind does not answer"
                time.sleep(0.05)
        for key in HOT:
            rpc("generatetoaddress", 1, address_of_key("bitcoin", "dev", key.public))
        mine(rpc, 100)
        yield rpc
    finally:
        process.terminate()
        process.wait(30)


def mine(node: Node, blocks: int = 1) -> None:
    """Blocks whose reward is nobody's here."""
    address = address_of_script("bitcoin", "dev", DESTINATIONS["p2wsh"])
    node("generatetoaddress", blocks, address)


def hot_coins(node: Node) -> list[Coin]:
    """The hot wallet's confirmed coins, read from the blocks themselves."""
    found: dict[tuple[str, int], Coin] = {}
    for height in range(1, node("getblockcount") + 1):
        for shown in node("getblock", node("getblockhash", height), 2)["tx"]:
            tx = bitcoin_tx.decode(bytes.fromhex(shown["hex"]))
            assert bitcoin_tx.txid(tx) == shown["txid"]
            for spent in tx.inputs:
                found.pop((spent.txid, spent.vout), None)
            for vout, out in enumerate(tx.outputs):
                if out.script in HOT_SCRIPTS:
                    index = HOT_SCRIPTS.index(out.script)
                    found[shown["txid"], vout] = Coin(
                        shown["txid"], vout, out.units, out.script, index
                    )
    return list(found.values())


def key_of(coin: Coin) -> PrivateKey:
    """The hot key that the coin names."""
    return RING.hot_key("bitcoin", coin.key_index)


def pay(coins: list[Coin], script: bytes, units: int, rate: int = 2_500, want: int = 1) -> Plan:
    """A plan as the vault would make it; change goes back to hot key 0."""
    return plan_payment(
        coins,
        script,
        units,
        HOT_SCRIPTS[0],
        rate,
        CAPS,
        hot_coin_count=want,
        coin_count_now=len(coins),
        split_units_min=1_000_000,
    )


@pytest.mark.parametrize("kind", DESTINATIONS)
def test_every_kind_of_destination_is_paid(node: Node, kind: str) -> None:
    """The node agrees on script, id, size, fee and rate, relays the bytes and mines them."""
    script = DESTINATIONS[kind]
    address = address_of_script("bitcoin", "dev", script)
    assert address is not None
    assert check_address("bitcoin", "dev", address) == address
    assert script_of("bitcoin", "dev", address) == script
    assert node("validateaddress", address)["scriptPubKey"] == script.hex()
    units = 123_456_789
    plan = pay(hot_coins(node), script, units)
    raw = bitcoin_tx.sign(plan.inputs, plan.outputs, key_of)
    tx = bitcoin_tx.decode(raw)
    seen = node("decoderawtransaction", raw.hex())
    assert (seen["txid"], seen["vsize"]) == (bitcoin_tx.txid(tx), bitcoin_tx.vsize(tx))
    (verdict,) = node("testmempoolaccept", [raw.hex()])
    assert verdict["allowed"], verdict
    fee_units = int(verdict["fees"]["base"] * 10**8)
    assert fee_units == plan.fee_units
    assert fee_units * 1000 >= verdict["vsize"] * 2_500
    txid = node("sendrawtransaction", raw.hex())
    assert txid == bitcoin_tx.txid(tx)
    assert node("getmempoolentry", txid)["bip125-replaceable"]
    mine(node)
    paid = node("gettxout", txid, 0)
    assert paid["confirmations"] == 1
    assert paid["scriptPubKey"]["address"] == address
    assert int(paid["value"] * 10**8) == units


def test_many_coins_pay_together_and_change_is_split(node: Node) -> None:
    """More than any single coin holds: several inputs of several keys, change in equal coins."""
    coins = hot_coins(node)
    units = max(coin.units for coin in coins) + 1_000_000_000
    plan = pay(coins, DESTINATIONS["p2wpkh"], units, want=6)
    assert len(plan.inputs) > 1
    assert len(plan.outputs) > 2
    raw = bitcoin_tx.sign(plan.inputs, plan.outputs, key_of)
    txid = node("sendrawtransaction", raw.hex())
    mine(node)
    assert node("gettxout", txid, 0)["confirmations"] == 1
    assert len(hot_coins(node)) >= 6


def test_a_replacement_spends_the_same_coins(node: Node) -> None:
    """A dearer transaction over the same inputs replaces the first; only one of them is mined."""
    coins = hot_coins(node)
    first = pay(coins, DESTINATIONS["p2tr"], 5_000_000)
    second = pay(list(first.inputs), DESTINATIONS["p2tr"], 5_000_000, rate=10_000)
    assert second.inputs == first.inputs
    low, high = (bitcoin_tx.sign(plan.inputs, plan.outputs, key_of) for plan in (first, second))
    low_id = node("sendrawtransaction", low.hex())
    high_id = node("sendrawtransaction", high.hex())
    assert node("getrawmempool") == [high_id]
    with pytest.raises(ValueError, match=r"insufficient fee|rejecting replacement"):
        node("sendrawtransaction", low.hex())
    mine(node)
    assert node("gettxout", high_id, 0)["confirmations"] == 1
    assert node("gettxout", low_id, 0) is None


def test_a_forged_signature_is_rejected_by_the_node_as_well(node: Node) -> None:
    """A proof by another key is refused by our check and by the node: the oracle is awake."""
    coin = max(hot_coins(node), key=lambda each: each.units)
    plan = pay([coin], DESTINATIONS["p2wpkh"], 1_000_000)
    raw = bitcoin_tx.sign(plan.inputs, plan.outputs, key_of)
    tx = bitcoin_tx.decode(raw)
    proof = tx.inputs[0].witness[0]
    forged = raw.replace(proof, proof[:-5] + bytes([proof[-5] ^ 1]) + proof[-4:])
    with pytest.raises(bitcoin_tx.BadTransaction):
        bitcoin_tx.check_signed(forged, plan.inputs, plan.outputs)
    (verdict,) = node("testmempoolaccept", [forged.hex()])
    assert not verdict["allowed"]
