"""Segregated witness addresses: BIP173 (bech32, version 0) and BIP350 (bech32m, later versions)."""

import re
from collections.abc import Iterable
from typing import Final

CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
VALUE: Final = {char: value for value, char in enumerate(CHARSET)}
GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
BECH32: Final = 1
BECH32M: Final = 0x2BC830A3
#: Longest segwit address (BIP173).
TEXT_CHARS_MAX: Final = 90
CHECKSUM_CHARS: Final = 6
VERSION_MAX: Final = 16
PROGRAM_BYTES_MIN: Final = 2
PROGRAM_BYTES_MAX: Final = 40
#: Version 0 has exactly two programs: a key hash and a script hash.
V0_PROGRAM_BYTES: Final = (20, 32)

_PRINTABLE: Final = re.compile(r"[!-~]*")


def encode(hrp: str, version: int, program: bytes) -> str:
    """The address of a witness program under a human-readable part such as "bc"."""
    data = [version, *_regroup(program, 8, 5, pad=True)]
    constant = BECH32 if version == 0 else BECH32M
    value = _polymod([*_expand(hrp), *data, *[0] * CHECKSUM_CHARS]) ^ constant
    checksum = [value >> 5 * (CHECKSUM_CHARS - 1 - i) & 31 for i in range(CHECKSUM_CHARS)]
    return hrp + "1" + "".join(CHARSET[digit] for digit in data + checksum)


def decode(text: str) -> tuple[str, int, bytes]:
    """Human-readable part, witness version and program of an address, by all rules of BIP350.

    Raises ValueError with the rule that was broken: case, length, alphabet, checksum, padding,
    version, program size.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("segwit address is too long")
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("character outside printable ASCII")
    if text not in (text.lower(), text.upper()):
        raise ValueError("segwit address mixes upper and lower case")
    hrp, separator, rest = text.lower().rpartition("1")
    if not separator or not hrp or len(rest) < CHECKSUM_CHARS:
        raise ValueError("not a segwit address")
    digits = [VALUE.get(char, -1) for char in rest]
    if -1 in digits:
        raise ValueError("character outside bech32")
    constant = _polymod([*_expand(hrp), *digits])
    if constant not in (BECH32, BECH32M):
        raise ValueError("wrong bech32 checksum")
    data = digits[:-CHECKSUM_CHARS]
    if not data or data[0] > VERSION_MAX:
        raise ValueError("no such witness version")
    if constant != (BECH32 if data[0] == 0 else BECH32M):
        raise ValueError("checksum of the other bech32 variant")
    program = bytes(_regroup(data[1:], 5, 8, pad=False))
    if not PROGRAM_BYTES_MIN <= len(program) <= PROGRAM_BYTES_MAX or (
        data[0] == 0 and len(program) not in V0_PROGRAM_BYTES
    ):
        raise ValueError("impossible size of witness program")
    return hrp, data[0], program


def _fold(top: int) -> int:
    """What the five bits that leave the checksum put back into it."""
    check = 0
    for bit, generator in enumerate(GENERATOR):
        if top >> bit & 1:
            check ^= generator
    return check


_FOLDED: Final = tuple(_fold(top) for top in range(32))


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _FOLDED[check >> 25]
    return check


def _expand(hrp: str) -> list[int]:
    return [ord(char) >> 5 for char in hrp] + [0] + [ord(char) & 31 for char in hrp]


def _regroup(values: Iterable[int], size: int, into: int, *, pad: bool) -> list[int]:
    """The same bits in groups of another size; unpadded leftovers must be few and zero."""
    held, bits, out = 0, 0, []
    for value in values:
        held = held << size | value
        bits += size
        while bits >= into:
            bits -= into
            out.append(held >> bits & (1 << into) - 1)
        held &= (1 << bits) - 1
    if pad and bits:
        out.append(held << into - bits)
    if not pad and (bits >= size or held):
        raise ValueError("wrong padding of segwit address")
    return out
