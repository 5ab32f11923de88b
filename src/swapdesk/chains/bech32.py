"""Segregated witness addresses: BIP173 (bech32, version 0) and BIP350 (bech32m, later versions)."""

import re
from base64 import b32encode
from functools import lru_cache
from typing import Final

CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
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
#: Groups of five bits are bytes from 0 to 31 here. Tables turn them into characters and back, and
#: into the spellings of base 32 that the standard library reads and writes at the speed of C.
_DIGITS: Final = bytes(range(32))
_TO_TEXT: Final = bytes.maketrans(_DIGITS, CHARSET.encode())
_FROM_TEXT: Final = bytes(CHARSET.find(chr(byte)) & 0xFF for byte in range(256))
_FOREIGN: Final = b"\xff"
_FROM_RFC4648: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _DIGITS)
_TO_INT32: Final = bytes.maketrans(_DIGITS, b"0123456789abcdefghijklmnopqrstuv")


def encode(hrp: str, version: int, program: bytes) -> str:
    """The address of a witness program under a human-readable part such as "bc"."""
    data = bytes([version]) + b32encode(program).rstrip(b"=").translate(_FROM_RFC4648)
    constant = BECH32 if version == 0 else BECH32M
    value = _polymod(_begin(hrp), data + bytes(CHECKSUM_CHARS)) ^ constant
    checksum = bytes(value >> 5 * (CHECKSUM_CHARS - 1 - i) & 31 for i in range(CHECKSUM_CHARS))
    return f"{hrp}1{(data + checksum).translate(_TO_TEXT).decode()}"


def decode(text: str) -> tuple[str, int, bytes]:
    """Human-readable part, witness version and program of an address, by all rules of BIP350.

    Raises ValueError with the rule that was broken: case, length, alphabet, checksum, padding,
    version, program size.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("segwit address is too long")
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("character outside printable ASCII")
    low = text.lower()
    if text not in (low, text.upper()):
        raise ValueError("segwit address mixes upper and lower case")
    hrp, separator, rest = low.rpartition("1")
    if not separator or not hrp or len(rest) < CHECKSUM_CHARS:
        raise ValueError("not a segwit address")
    digits = rest.encode().translate(_FROM_TEXT)
    if _FOREIGN in digits:
        raise ValueError("character outside bech32")
    constant = _polymod(_begin(hrp), digits)
    if constant not in (BECH32, BECH32M):
        raise ValueError("wrong bech32 checksum")
    data = digits[:-CHECKSUM_CHARS]
    if not data or data[0] > VERSION_MAX:
        raise ValueError("no such witness version")
    if constant != (BECH32 if data[0] == 0 else BECH32M):
        raise ValueError("checksum of the other bech32 variant")
    program = _bytes_of(data[1:])
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


def _polymod(check: int, digits: bytes) -> int:
    for digit in digits:
        check = (check & 0x1FFFFFF) << 5 ^ digit ^ _FOLDED[check >> 25]
    return check


@lru_cache(maxsize=64)
def _begin(hrp: str) -> int:
    """The checksum after the human-readable part."""
    high, low = (bytes(ord(char) >> 5 for char in hrp), bytes(ord(char) & 31 for char in hrp))
    return _polymod(1, high + b"\0" + low)


def _bytes_of(digits: bytes) -> bytes:
    """The same bits in groups of eight; leftovers must be few and zero."""
    size, left = divmod(5 * len(digits), 8)
    number = int(digits.translate(_TO_INT32), 32) if digits else 0
    if left >= 5 or number & (1 << left) - 1:  # noqa: PLR2004 - a whole group too many
        raise ValueError("wrong padding of segwit address")
    return (number >> left).to_bytes(size)
