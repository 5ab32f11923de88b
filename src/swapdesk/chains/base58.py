"""Base58 in its two spellings: Bitcoin's (one big number) and Monero's (blocks of eight bytes)."""

from typing import Final

from swapdesk.chains.digest import sha256d

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
VALUE: Final = {char: value for value, char in enumerate(ALPHABET)}
_PAIRS: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)
_PAIRS_END: Final = len(_PAIRS)
#: Longest text we decode: a serialised BIP32 key has 111 characters, a Monero address 106.
TEXT_CHARS_MAX: Final = 112
CHECKSUM_BYTES: Final = 4
#: Characters that Monero's base58 writes for a block of so many bytes (index = bytes).
MONERO_CHARS: Final = (0, 2, 3, 5, 6, 7, 9, 10, 11)
MONERO_BLOCK_BYTES: Final = 8
MONERO_BLOCK_CHARS: Final = MONERO_CHARS[MONERO_BLOCK_BYTES]


def encode(data: bytes) -> str:
    """Bitcoin's base58: leading zero bytes become leading ones."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + _write(int.from_bytes(data))


def decode(text: str) -> bytes:
    """The bytes that `encode` wrote as `text`. Raises ValueError on a foreign character."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("base58 text is too long")
    number = _read(text)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def encode_check(payload: bytes) -> str:
    """Base58 of the payload and the first four bytes of its double SHA-256."""
    return encode(payload + sha256d(payload)[:CHECKSUM_BYTES])


def decode_check(text: str) -> bytes:
    """The payload of `encode_check`. Raises ValueError when the checksum does not fit."""
    data = decode(text)
    payload, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if len(checksum) < CHECKSUM_BYTES or sha256d(payload)[:CHECKSUM_BYTES] != checksum:
        raise ValueError("wrong base58 checksum")
    return payload


def encode_monero(data: bytes) -> str:
    """Monero's base58: each block of eight bytes has eleven characters, the last one fewer."""
    blocks = (data[i : i + MONERO_BLOCK_BYTES] for i in range(0, len(data), MONERO_BLOCK_BYTES))
    return "".join(
        _write(int.from_bytes(block)).rjust(MONERO_CHARS[len(block)], "1") for block in blocks
    )


def decode_monero(text: str) -> bytes:
    """The bytes that `encode_monero` wrote as `text`; any other spelling is a ValueError."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("base58 text is too long")
    out = bytearray()
    for start in range(0, len(text), MONERO_BLOCK_CHARS):
        block = text[start : start + MONERO_BLOCK_CHARS]
        if len(block) not in MONERO_CHARS:
            raise ValueError("impossible length of Monero base58")
        size, number = MONERO_CHARS.index(len(block)), _read(block)
        if number >= 1 << 8 * size:
            raise ValueError("Monero base58 block overflows")
        out += number.to_bytes(size)
    return bytes(out)


def _write(number: int) -> str:
    """Two characters a step: dividing a number this long is what costs."""
    pairs = []
    while number >= _PAIRS_END:
        number, pair = divmod(number, _PAIRS_END)
        pairs.append(_PAIRS[pair])
    pairs.append(_PAIRS[number])
    return "".join(reversed(pairs)).lstrip(ALPHABET[0])


def _read(text: str) -> int:
    try:
        digits = [VALUE[char] for char in text]
    except KeyError:
        raise ValueError("character outside base58") from None
    number = 0
    for digit in digits:
        number = number * 58 + digit
    return number
