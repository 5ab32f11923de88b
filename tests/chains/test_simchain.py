"""The simulated chain keeps its own rules: signatures, nonces, funds, reorganisations, its file."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from swapdesk import assets
from swapdesk.chains import simtx
from swapdesk.chains.codec import address_of_key
from swapdesk.chains.rpc import NodeRefused, Rpc
from swapdesk.chains.simchain import FEE_UNITS_MIN, NONCE_AHEAD_MAX, SimChain, SimRefused
from swapdesk.world import RealWorld
from swapdesk_vault.keys import PrivateKey
from swapdesk_vault.senders import simulated_tx

REGISTRY = assets.load("dev", {"tron": assets.NetworkSetup(reader="simulated")})
TRON = REGISTRY.networks["tron"]
ALICE, BOB = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)
A, B = (address_of_key("tron", "dev", key.public) for key in (ALICE, BOB))
FEE = FEE_UNITS_MIN


@pytest.fixture
def chain() -> Iterator[SimChain]:
    """A chain in memory where Alice has 1000 TRX and 50 USDT."""
    chain = SimChain(TRON, REGISTRY, RealWorld(), ":memory:")
    chain.call("sim_faucet", [A, "trx", 1_000_000_000])
    chain.call("sim_faucet", [A, "usdt_trc20", 50_000_000])
    chain.call("sim_mine", [])
    yield chain
    chain.close()


def pay(nonce: int, units: int = 5, **change: Any) -> str:
    """Alice pays Bob; raw hexadecimal."""
    fields = {"to": B, "asset": "trx", "units": units, "fee_units": FEE, **change}
    tx = simulated_tx.build(TRON, ALICE, nonce=nonce, **fields)
    return simulated_tx.sign(tx, ALICE).hex()


def refused(chain: SimChain, raw: str) -> str:
    """The chain's words for not taking `raw`."""
    with pytest.raises(SimRefused) as error:
        chain.call("sim_send", [raw])
    return error.value.message


def held(chain: SimChain, address: str, asset: str = "trx") -> int:
    """A balance."""
    units: int = chain.call("sim_balance", [address, asset])
    return units


def test_payment_moves_money_and_burns_the_fee(chain: SimChain) -> None:
    """What the sender loses is what the recipient gains and the fee, exactly."""
    txid = chain.call("sim_send", [pay(0, 7)])
    assert txid == simtx.txid_of(bytes.fromhex(pay(0, 7)))
    assert [t.txid for t in chain.call("sim_mempool", [])] == [txid]
    assert held(chain, B) == 0
    block = chain.call("sim_block", [chain.call("sim_mine", []).hash])
    assert [(t.txid, t.position, t.address, t.units) for t in block.transfers] == [
        (txid, "value", B, 7)
    ]
    assert (held(chain, A), held(chain, B)) == (1_000_000_000 - 7 - FEE, 7)
    assert chain.call("sim_nonce", [A]) == 1


def test_same_bytes_are_already_known(chain: SimChain) -> None:
    """A rebroadcast is told apart from every other refusal, waiting or mined."""
    chain.call("sim_send", [pay(0)])
    assert refused(chain, pay(0)) == "already known"
    chain.call("sim_mine", [])
    assert refused(chain, pay(0)) == "already known"


def test_one_nonce_is_spent_once(chain: SimChain) -> None:
    """Of two payments with one nonce only one is ever in the chain."""
    chain.call("sim_send", [pay(0, 5)])
    assert refused(chain, pay(0, 6)) == "replacement transaction underpriced"
    winner = chain.call("sim_send", [pay(0, 6, fee_units=FEE + 1)])
    assert [t.txid for t in chain.call("sim_mempool", [])] == [winner]
    chain.call("sim_mine", [])
    assert held(chain, B) == 6
    assert refused(chain, pay(0, 7, fee_units=9 * FEE)) == "nonce too low"


def test_nonces_are_mined_in_order(chain: SimChain) -> None:
    """A transaction ahead of its turn waits for the gap to be filled."""
    chain.call("sim_send", [pay(1, 20)])
    chain.call("sim_mine", [])
    assert held(chain, B) == 0
    assert chain.call("sim_nonce", [A, True]) == 0
    chain.call("sim_send", [pay(0, 10)])
    assert chain.call("sim_nonce", [A, True]) == 2
    chain.call("sim_mine", [])
    assert held(chain, B) == 30
    assert refused(chain, pay(3 + NONCE_AHEAD_MAX)) == "nonce too high"


def test_funds_are_checked_over_all_that_waits(chain: SimChain) -> None:
    """Neither coin nor token nor fee can be spent twice by two waiting transactions."""
    assert refused(chain, pay(0, 1_000_000_000)) == "insufficient funds"  # the fee is missing
    chain.call("sim_send", [pay(0, 30_000_000, asset="usdt_trc20")])
    assert refused(chain, pay(1, 30_000_000, asset="usdt_trc20")) == "insufficient funds"
    chain.call("sim_send", [pay(1, 20_000_000, asset="usdt_trc20")])
    assert refused(chain, pay(2, 1_000_000_000 - 3 * FEE + 1)) == "insufficient funds"
    chain.call("sim_send", [pay(2, 1_000_000_000 - 3 * FEE)])
    chain.call("sim_mine", [])
    assert (held(chain, A), held(chain, A, "usdt_trc20")) == (0, 0)


def test_signature_is_the_senders(chain: SimChain) -> None:
    """Another key, a changed byte, another spelling or a high s is no transaction."""
    raw = bytes.fromhex(pay(0))
    forged = simulated_tx.sign(simulated_tx.build(TRON, ALICE, nonce=0, to=B, asset="trx",
                                                  units=5, fee_units=FEE), BOB)  # fmt: skip
    assert "signed by somebody else" in refused(chain, forged.hex())
    assert "invalid" in refused(chain, raw.replace(b'"units":5', b'"units":6').hex())
    assert "canonical" in refused(chain, raw.replace(b'"units":5', b'"units": 5').hex())
    r, s, parity = raw[-65:-33], int.from_bytes(raw[-33:-1]), raw[-1]
    high = raw[:-65] + r + (simtx.CURVE_ORDER - s).to_bytes(32) + bytes([1 - parity])
    assert "lower form" in refused(chain, high.hex())
    for nonsense in ("", "00" * 65, "zz", "00" * 3000, pay(0, to="T" + B[2:])):
        assert "invalid" in refused(chain, nonsense)
    assert refused(chain, pay(0, asset="btc")) == "transaction of another chain"
    assert refused(chain, pay(0, fee_units=FEE - 1)) == "transaction underpriced"


def test_reorg_returns_or_drops(chain: SimChain) -> None:
    """An undone block gives its money back; its transactions wait again, or are gone."""
    before = chain.call("sim_tip", [])
    txid = chain.call("sim_send", [pay(0, 7)])
    first = chain.call("sim_mine", [1, before.time_ms + 1])
    assert chain.call("sim_reorg", [1]) == before
    assert (held(chain, A), held(chain, B)) == (1_000_000_000, 0)
    assert chain.call("sim_block", [first.hash]) is None
    assert [t.txid for t in chain.call("sim_mempool", [])] == [txid]
    second = chain.call("sim_mine", [1, before.time_ms + 1])
    assert (second.height, second.time_ms) == (first.height, first.time_ms)
    assert second.hash != first.hash
    assert held(chain, B) == 7
    chain.call("sim_reorg", [1, "drop"])
    assert chain.call("sim_mempool", []) == []
    assert chain.call("sim_locate", [txid, 0]) is None
    other = chain.call("sim_send", [pay(0, 8)])  # the double spend
    chain.call("sim_mine", [])
    assert held(chain, B) == 8
    assert chain.call("sim_locate", [other, 0]).depth == 1


def test_reorg_of_the_funding_leaves_the_spending_waiting(chain: SimChain) -> None:
    """A payment whose coins are gone is not mined, and is once they are back."""
    chain.call("sim_send", [pay(0, 7)])
    chain.call("sim_mine", [])
    chain.call("sim_reorg", [1])
    chain.call("sim_reorg", [1, "drop"])
    chain.call("sim_mine", [3])
    assert held(chain, B) == 0
    chain.call("sim_faucet", [A, "trx", 1_000_000])
    chain.call("sim_mine", [])
    assert held(chain, B) == 7


def test_frozen_token_fails_but_costs(chain: SimChain) -> None:
    """A failed transfer is in a block, moves nothing, costs its fee, and is undone like others."""
    chain.call("sim_freeze", [B, "usdt_trc20"])
    txid = chain.call("sim_send", [pay(0, 9, asset="usdt_trc20")])
    tip = chain.call("sim_mine", [])
    inclusion = chain.call("sim_locate", [txid, 0])
    assert (inclusion.ok, inclusion.fee_units, inclusion.ref) == (False, FEE, tip)
    assert chain.call("sim_block", [tip.hash]).transfers == ()
    assert chain.call("sim_find", [txid, "log:0", tip.hash]) is None
    assert held(chain, A) == 1_000_000_000 - FEE
    chain.call("sim_reorg", [1])
    chain.call("sim_freeze", [B, "usdt_trc20", False])
    chain.call("sim_mine", [])
    assert held(chain, B, "usdt_trc20") == 9


def test_evict(chain: SimChain) -> None:
    """A mempool forgets; the same bytes may come again."""
    txid = chain.call("sim_send", [pay(0)])
    assert chain.call("sim_evict", [txid]) is True
    assert chain.call("sim_evict", [txid]) is False
    chain.call("sim_mine", [])
    assert chain.call("sim_locate", [txid, 0]) is None
    assert chain.call("sim_send", [pay(0)]) == txid


def test_calls_are_checked(chain: SimChain) -> None:
    """A wrong method, parameter or address is an answer, never an exception of ours."""
    cases: list[tuple[str, list[object], int]] = [
        ("close", [], -32601),
        ("sim_none", [], -32601),
        ("sim_mine", ["1"], -32602),
        ("sim_mine", [1, 2, 3], -32602),
        ("sim_balance", [A], -32602),
        ("sim_reorg", [1, "keep"], -32602),
        ("sim_mine", [0], -32000),
        ("sim_reorg", [99], -32000),
        ("sim_faucet", [A.lower(), "trx", 1], -32000),
        ("sim_faucet", [A, "btc", 1], -32000),
        ("sim_faucet", [A, "trx", 0], -32000),
        ("sim_freeze", [A, "trx"], -32000),
    ]
    for method, params, code in cases:
        with pytest.raises(SimRefused) as error:
            chain.call(method, params)
        assert error.value.code == code, (method, params)


def test_simulated_only_where_the_site_says_so() -> None:
    """A network with a real reader cannot be simulated by mistake."""
    real = assets.load("dev", {"bitcoin": assets.NetworkSetup()})
    with pytest.raises(ValueError, match="not simulated"):
        SimChain(real.networks["bitcoin"], real, RealWorld(), ":memory:")


class Program:
    """The chain's own process."""

    def __init__(self, file: Path, block_ms: int = 0) -> None:
        command = [sys.executable, "-m", "swapdesk.chains.simchain", "--network", "tron"]
        command += ["--file", str(file), "--block-ms", str(block_ms)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.rpc = Rpc(self.line.split()[-1])

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit status."""
        await self.rpc.close()
        self.process.send_signal(how)
        self.process.communicate(timeout=10)
        return self.process.returncode


@pytest.fixture
async def programs() -> AsyncIterator[list[Program]]:
    """Whatever a test starts and leaves running ends here."""
    started: list[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            await program.end(signal.SIGKILL)


@pytest.mark.anyio
async def test_program_survives_sigkill(tmp_path: Path, programs: list[Program]) -> None:
    """After SIGKILL the same file continues the same chain, mempool included."""
    first = Program(tmp_path / "tron.sqlite")
    programs.append(first)
    assert first.line.startswith("simulated Tron ready at http://127.0.0.1:")
    await first.rpc.call("sim_faucet", [A, "trx", 10**9], str)
    tip = await first.rpc.call("sim_mine", [], dict)
    txid = await first.rpc.call("sim_send", [pay(0)], str)
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = Program(tmp_path / "tron.sqlite")
    programs.append(second)
    assert await second.rpc.call("sim_tip", [], dict) == tip
    assert await second.rpc.call("sim_balance", [A, "trx"], int) == 10**9
    with pytest.raises(NodeRefused, match="already known") as error:
        await second.rpc.call("sim_send", [pay(0)], str)
    assert error.value.code == -32000
    await second.rpc.call("sim_mine", [], dict)
    assert (await second.rpc.call("sim_locate", [txid, 0], dict))["ok"] is True
    assert await second.end(signal.SIGTERM) == 0


@pytest.mark.anyio
async def test_program_mines_by_the_clock(tmp_path: Path, programs: list[Program]) -> None:
    """With --block-ms blocks come by themselves, and what is no call is an error answer."""
    program = Program(tmp_path / "tron.sqlite", block_ms=20)
    programs.append(program)
    txid = await program.rpc.call("sim_faucet", [A, "trx", 2**64 + 1], str)
    for _ in range(1000):
        if await program.rpc.maybe("sim_locate", [txid, 0], dict):
            break
    assert await program.rpc.call("sim_balance", [A, "trx"], int) == 2**64 + 1
    with pytest.raises(NodeRefused, match="no such method"):
        await program.rpc.call("eth_chainId", [], str)
    assert await program.end(signal.SIGINT) == 0
