"""Which coins pay, what the network gets, what comes back. Pure and deterministic.

The recipient gets exactly the units asked for; the wallet bears the fee. Fees are rounded up from
an upper bound of the size, so that the rate paid is never below the rate asked for.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from swapdesk.money import BPS, ceil_div
from swapdesk_vault.senders.bitcoin_tx import WITNESS_SCALE, Coin, Output, compact

#: More inputs than this in one payment mean a wallet that wants consolidation first.
INPUTS_MAX: Final = 100
#: New coins that one payment makes at most of its change.
SPLIT_MAX: Final = 10
VBYTES_PER_KVB: Final = 1000
#: Version, lock time; outpoint, empty script, sequence; amount.
TX_BYTES: Final = 4 + 4
INPUT_BYTES: Final = 36 + 1 + 4
AMOUNT_BYTES: Final = 8
#: Marker and flag; then per input a count, a low-S proof of at most 72 bytes and a key of 33.
MARK_WEIGHT: Final = 2
PROOF_WEIGHT: Final = 1 + (1 + 72) + (1 + 33)
INPUT_VBYTES: Final = ceil_div(INPUT_BYTES * WITNESS_SCALE + PROOF_WEIGHT, WITNESS_SCALE)
#: Bitcoin's dust relay rate. Litecoin's is ten times as much.
DUST_RATE_SAT_KVB: Final = 3000
#: What nodes reckon for spending an output later (GetDustThreshold): with and without segwit.
SPEND_WITNESS_BYTES: Final = 67
SPEND_LEGACY_BYTES: Final = 148
#: Witness programs start with a version opcode (OP_0, OP_1 to OP_16) and have 4 to 42 bytes.
PROGRAM_OPCODES: Final = frozenset({0x00, *range(0x51, 0x61)})
PROGRAM_SCRIPT_BYTES: Final = range(4, 43)


class NoPlan(ValueError):
    """There is no acceptable way to make this payment now; nothing was spent."""


class NotEnough(NoPlan):
    """The coins given do not cover the payment and its fee."""


class FeeTooHigh(NoPlan):
    """The fee breaks a cap: the rate is absurd, or the payment too small for it."""


class Dust(NoPlan):
    """The payment is so small that nodes would not relay it."""


class FeeCaps(msgspec.Struct, frozen=True):
    """The most a payment may burn; both caps hold."""

    units_max: int  #: absolute
    bps_max: int  #: relative to the payment, in basis points

    def allow(self, fee_units: int, units: int) -> bool:
        """Whether this fee for a payment of `units` is within both caps."""
        return fee_units <= self.units_max and fee_units * BPS <= units * self.bps_max


class Plan(msgspec.Struct, frozen=True):
    """A payment before it is signed. The first output is the payment, the others are change."""

    inputs: tuple[Coin, ...]
    outputs: tuple[Output, ...]
    fee_units: int  #: exactly inputs minus outputs


def plan_payment(
    coins: Sequence[Coin],
    destination_script: bytes,
    units: int,
    change_script: bytes,
    fee_rate_sat_kvb: int,
    caps: FeeCaps,
    *,
    hot_coin_count: int,
    coin_count_now: int,
    split_units_min: int,
    dust_rate_sat_kvb: int = DUST_RATE_SAT_KVB,
) -> Plan:
    """Pay `units` to a script out of `coins`, all confirmed and P2WPKH; the order given is
    irrelevant.

    Change below dust goes to the fee. While the wallet has fewer than `hot_coin_count` coins
    (`coin_count_now`), change is split into equal coins of at least `split_units_min`, so that
    later payments need not wait for each other. Raises NotEnough, FeeTooHigh or Dust.
    """
    if fee_rate_sat_kvb <= 0:
        raise ValueError("a fee rate is positive")
    if units < dust_units(destination_script, dust_rate_sat_kvb):
        raise Dust(f"{units} units are dust")
    chosen = choose(coins, units, destination_script, fee_rate_sat_kvb)
    spare = sum(coin.units for coin in chosen) - units
    missing = hot_coin_count - (coin_count_now - len(chosen))
    wanted = min(missing, SPLIT_MAX) if coin_count_now < hot_coin_count else 1
    dust = dust_units(change_script, dust_rate_sat_kvb)
    change: list[Output] = []
    fee = spare
    for parts in range(max(wanted, 1), 0, -1):
        scripts = [destination_script] + [change_script] * parts
        needed = fee_units(len(chosen), scripts, fee_rate_sat_kvb)
        each, left = divmod(spare - needed, parts)
        # A split is a convenience: it gives way to its minimum and to the caps; change does not.
        if each >= dust and (parts == 1 or (each >= split_units_min and caps.allow(needed, units))):
            change = [Output(change_script, each + (left if n == 0 else 0)) for n in range(parts)]
            fee = needed
            break
    if not caps.allow(fee, units):
        raise FeeTooHigh(f"fee of {fee} units for a payment of {units}")
    outputs = (Output(destination_script, units), *change)
    assert sum(coin.units for coin in chosen) == sum(out.units for out in outputs) + fee
    return Plan(tuple(chosen), outputs, fee)


def choose(
    coins: Sequence[Coin], units: int, destination_script: bytes, fee_rate_sat_kvb: int
) -> list[Coin]:
    """The coins that pay: the smallest one that suffices alone, else the largest ones together.

    Coins that cost more to spend than they hold are left alone. Raises NotEnough.
    """
    assert len({(coin.txid, coin.vout) for coin in coins}) == len(coins)
    cost = ceil_div(INPUT_VBYTES * fee_rate_sat_kvb, VBYTES_PER_KVB)
    useful = sorted(
        (coin for coin in coins if coin.units > cost),
        key=lambda coin: (coin.units, coin.txid, coin.vout),
    )
    alone = units + fee_units(1, [destination_script], fee_rate_sat_kvb)
    for coin in useful:
        if coin.units >= alone:
            return [coin]
    chosen: list[Coin] = []
    held = 0
    for coin in reversed(useful[-INPUTS_MAX:]):
        chosen.append(coin)
        held += coin.units
        if held >= units + fee_units(len(chosen), [destination_script], fee_rate_sat_kvb):
            return chosen
    raise NotEnough(f"{held} units in the largest {len(chosen)} coins, {units} and a fee needed")


def fee_units(inputs: int, scripts: Sequence[bytes], fee_rate_sat_kvb: int) -> int:
    """The fee of a transaction with so many P2WPKH inputs and these outputs, rounded up."""
    return ceil_div(vsize_max(inputs, scripts) * fee_rate_sat_kvb, VBYTES_PER_KVB)


def vsize_max(inputs: int, scripts: Sequence[bytes]) -> int:
    """The most virtual bytes such a transaction takes; a proof may turn out a byte or two less."""
    bare = TX_BYTES + len(compact(inputs)) + len(compact(len(scripts))) + INPUT_BYTES * inputs
    bare += sum(AMOUNT_BYTES + len(compact(len(script))) + len(script) for script in scripts)
    return ceil_div(bare * WITNESS_SCALE + MARK_WEIGHT + PROOF_WEIGHT * inputs, WITNESS_SCALE)


def dust_units(script: bytes, dust_rate_sat_kvb: int = DUST_RATE_SAT_KVB) -> int:
    """The least units that nodes relay to a script: 294 to P2WPKH, 546 to P2PKH on Bitcoin."""
    program = len(script) in PROGRAM_SCRIPT_BYTES and script[0] in PROGRAM_OPCODES
    spend = SPEND_WITNESS_BYTES if program and script[1] == len(script) - 2 else SPEND_LEGACY_BYTES
    size = AMOUNT_BYTES + len(compact(len(script))) + len(script) + spend
    return ceil_div(size * dust_rate_sat_kvb, VBYTES_PER_KVB)
