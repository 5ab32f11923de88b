"""Payment plans: exact payment, bounded fee, nothing lost, coins kept plentiful."""

import random

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swapdesk.chains.digest import hash160
from swapdesk_vault.keys import PrivateKey
from swapdesk_vault.senders import bitcoin_plan, bitcoin_tx
from swapdesk_vault.senders.bitcoin_plan import (
    Dust,
    FeeCaps,
    FeeTooHigh,
    NoPlan,
    NotEnough,
    Plan,
    dust_units,
    plan_payment,
)
from swapdesk_vault.senders.bitcoin_tx import Coin, Output

KEY = PrivateKey(bytes([7]) * 32)
OURS = b"\0\x14" + hash160(KEY.public)
#: The five scripts that the desk pays, with what nodes call dust (Bitcoin's default policy).
SCRIPTS = {
    "p2pkh": (b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", 546),
    "p2sh": (b"\xa9\x14" + bytes(20) + b"\x87", 540),
    "p2wpkh": (b"\0\x14" + bytes(20), 294),
    "p2wsh": (b"\0\x20" + bytes(32), 330),
    "p2tr": (b"\x51\x20" + bytes(32), 330),
}
LOOSE = FeeCaps(units_max=10**9, bps_max=10**6)
DEST = SCRIPTS["p2tr"][0]


def coin(units: int, n: int = 0) -> Coin:
    """A hot coin of ours."""
    return Coin((n + 1).to_bytes(32).hex(), n % 3, units, OURS, 0)


def coins(*units: int) -> list[Coin]:
    """Hot coins of these sizes."""
    return [coin(each, n) for n, each in enumerate(units)]


def plan(
    held: list[Coin], units: int, rate: int = 1000, caps: FeeCaps = LOOSE, want: int = 1
) -> Plan:
    """A plan with the defaults of these tests: no splitting unless `want` coins are wanted."""
    return plan_payment(
        held,
        DEST,
        units,
        OURS,
        rate,
        caps,
        hot_coin_count=want,
        coin_count_now=len(held),
        split_units_min=10_000,
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=30),
    st.integers(330, 10**9),
    st.integers(1, 500_000),
    st.integers(0, 20),
    st.sampled_from(list(SCRIPTS)),
    st.integers(0, 2**32),
)
def test_every_plan_is_exact(
    held: list[int], units: int, rate: int, want: int, kind: str, shuffle: int
) -> None:
    """The recipient gets the amount, the fee is what is missing and within its caps, the rate is
    at least the one asked for, change is never dust, and the order of coins does not matter."""
    script, dust = SCRIPTS[kind]
    assume(units >= dust)
    mine = coins(*held)
    caps = FeeCaps(units_max=10**6, bps_max=500)

    def make(given_coins: list[Coin]) -> Plan | type[NoPlan]:
        try:
            return plan_payment(
                given_coins,
                script,
                units,
                OURS,
                rate,
                caps,
                hot_coin_count=want,
                coin_count_now=len(held),
                split_units_min=50_000,
            )
        except NoPlan as refusal:
            return type(refusal)

    made = make(mine)
    assert made == make(random.Random(shuffle).sample(mine, len(mine)))
    if not isinstance(made, Plan):
        assert made in (NotEnough, FeeTooHigh)
        return
    spent = sum(each.units for each in made.inputs)
    assert made.outputs[0] == Output(script, units)
    assert spent == sum(each.units for each in made.outputs) + made.fee_units
    assert made.fee_units <= caps.units_max
    assert made.fee_units * 10_000 <= units * caps.bps_max
    change = made.outputs[1:]
    assert all(each.script == OURS and each.units >= 294 for each in change)
    assert len(change) <= max(1, want - len(held) + len(made.inputs))
    if len(change) > 1:
        assert min(each.units for each in change) >= 50_000
        assert change[0].units - change[-1].units < len(change)
    raw = bitcoin_tx.sign(made.inputs, made.outputs, lambda _: KEY)
    vsize = bitcoin_tx.vsize(bitcoin_tx.decode(raw))
    most = bitcoin_plan.vsize_max(len(made.inputs), [each.script for each in made.outputs])
    assert most - len(made.inputs) <= vsize <= most
    assert made.fee_units * 1000 >= vsize * rate
    if change:
        assert made.fee_units == -(-most * rate // 1000)


def test_the_smallest_sufficient_coin_pays() -> None:
    """One coin is enough when one suffices, and the large ones stay for large payments."""
    made = plan(coins(10**8, 60_000, 10**6), 50_000)
    assert [each.units for each in made.inputs] == [60_000]
    assert made.fee_units == bitcoin_plan.fee_units(1, [DEST, OURS], 1000)


def test_else_the_largest_coins_pay_together() -> None:
    """Few inputs rather than many; the very smallest coin is not touched."""
    made = plan(coins(40_000, 50_000, 1000, 45_000), 90_000)
    assert [each.units for each in made.inputs] == [50_000, 45_000]


def test_coins_not_worth_their_fee_are_left() -> None:
    """At 100 sat/vB a coin of 5,000 costs more than it brings; alone it is not enough."""
    with pytest.raises(NotEnough):
        plan(coins(5_000, 5_000, 5_000), 1_000, rate=100_000)
    made = plan(coins(5_000, 10**6), 10**5, rate=100_000)
    assert [each.units for each in made.inputs] == [10**6]


def test_not_enough() -> None:
    """Covering the amount but not the fee is not covering it; nor is nothing at all."""
    fee = bitcoin_plan.fee_units(1, [DEST], 1000)
    assert plan(coins(50_000 + fee), 50_000).fee_units == fee
    for held in (coins(50_000 + fee - 1), coins(50_000), []):
        with pytest.raises(NotEnough):
            plan(held, 50_000)
    with pytest.raises(NotEnough):  # more coins than one payment may take
        plan(coins(*[1_000] * (bitcoin_plan.INPUTS_MAX + 50)), 105_000)


def test_change_below_dust_goes_to_the_fee() -> None:
    """293 units of change would not be relayed; 294 come back."""
    needed = bitcoin_plan.fee_units(1, [DEST, OURS], 1000)
    without = plan(coins(50_000 + needed + 293), 50_000)
    assert len(without.outputs) == 1
    assert without.fee_units == needed + 293
    with_change = plan(coins(50_000 + needed + 294), 50_000)
    assert with_change.outputs[1:] == (Output(OURS, 294),)
    assert with_change.fee_units == needed


def test_both_caps_hold() -> None:
    """Paxos paid 19.8 bitcoin for a transfer: each cap alone stops an absurd fee."""
    fee = plan(coins(10**8), 10**6, rate=20_000).fee_units
    assert plan(coins(10**8), 10**6, 20_000, FeeCaps(fee, 10_000)).fee_units == fee
    with pytest.raises(FeeTooHigh):
        plan(coins(10**8), 10**6, 20_000, FeeCaps(fee - 1, 10_000))
    bps = -(-fee * 10_000 // 10**6)
    assert plan(coins(10**8), 10**6, 20_000, FeeCaps(fee, bps)).fee_units == fee
    with pytest.raises(FeeTooHigh):
        plan(coins(10**8), 10**6, 20_000, FeeCaps(fee, bps - 1))


def test_few_coins_are_split() -> None:
    """One coin becomes as many as are wanted, all nearly equal, all at least the minimum."""
    made = plan(coins(10**6), 100_000, want=5)
    sizes = [each.units for each in made.outputs[1:]]
    assert len(sizes) == 5
    assert max(sizes) - min(sizes) < 5
    assert len(plan(coins(10**6, 10**6), 100_000, want=5).outputs) == 1 + 4
    assert len(plan(coins(*[10**6] * 5), 100_000, want=5).outputs) == 1 + 1
    assert len(plan(coins(10**9), 10**6, want=99).outputs) == 1 + bitcoin_plan.SPLIT_MAX


def test_splitting_gives_way() -> None:
    """Too little change for the minimum, or a cap in the way: fewer coins, never a refusal."""
    assert len(plan(coins(135_000), 100_000, want=5).outputs) == 1 + 3
    assert len(plan(coins(105_000), 100_000, want=5).outputs) == 1 + 1
    single = bitcoin_plan.fee_units(1, [DEST, OURS], 1000)
    made = plan(coins(10**6), 100_000, want=5, caps=FeeCaps(single, 10_000))
    assert len(made.outputs) == 1 + 1


@pytest.mark.parametrize("kind", SCRIPTS)
def test_dust(kind: str) -> None:
    """The published thresholds of Bitcoin Core, ten times as much where the rate is; a payment
    below is refused."""
    script, dust = SCRIPTS[kind]
    assert dust_units(script) == dust
    assert dust_units(script, 30_000) == 10 * dust

    def pay(units: int) -> Plan:
        return plan_payment(
            coins(10**6),
            script,
            units,
            OURS,
            1000,
            LOOSE,
            hot_coin_count=1,
            coin_count_now=1,
            split_units_min=10_000,
        )

    assert pay(dust).outputs[0].units == dust
    with pytest.raises(Dust):
        pay(dust - 1)


def test_our_own_mistakes_are_loud() -> None:
    """A rate of zero or the same coin twice is a bug of the caller."""
    with pytest.raises(ValueError, match="positive"):
        plan(coins(10**6), 1000, rate=0)
    with pytest.raises(AssertionError):
        plan([coin(10**6), msgspec.structs.replace(coin(10**6), units=5)], 1000)
