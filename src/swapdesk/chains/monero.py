"""Monero addresses: network byte, two curve points, perhaps a payment id, keccak checksum."""

from typing import Final

from swapdesk.chains import base58
from swapdesk.chains.digest import keccak256

#: Network bytes of (standard, integrated, subaddress). Test is stagenet, the public network with
#: mainnet's rules; a development chain is regtest, which writes mainnet's bytes.
PREFIXES: Final = {"main": (18, 19, 42), "test": (24, 25, 36), "dev": (18, 19, 42)}
POINT_BYTES: Final = 32
PAYMENT_ID_BYTES: Final = 8
CHECKSUM_BYTES: Final = 4
BODY_BYTES: Final = 1 + 2 * POINT_BYTES + CHECKSUM_BYTES
#: The field and the curve constant d of Ed25519 (RFC 8032, 5.1).
P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P


def check(world: str, text: str) -> str:
    """The same text, if it is a standard, integrated or subaddress of the world's network.

    Raises ValueError naming what is wrong: spelling, size, checksum, network, or a key that is no
    point of the curve (wallets refuse to pay those).
    """
    data = base58.decode_monero(text)
    body, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if len(data) not in (BODY_BYTES, BODY_BYTES + PAYMENT_ID_BYTES):
        raise ValueError("wrong length of a Monero address")
    if keccak256(body)[:CHECKSUM_BYTES] != checksum:
        raise ValueError("wrong Monero checksum")
    standard, integrated, sub = PREFIXES[world]
    expected = (integrated,) if len(data) > BODY_BYTES else (standard, sub)
    if body[0] not in expected:
        raise ValueError("address of another Monero network")
    keys = body[1 : 1 + POINT_BYTES], body[1 + POINT_BYTES : 1 + 2 * POINT_BYTES]
    if not all(is_point(key) for key in keys):
        raise ValueError("Monero address holds a key outside the curve")
    return text


def is_point(encoded: bytes) -> bool:
    """Whether 32 bytes are the one canonical encoding of a point on Ed25519 (RFC 8032, 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        return False
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if square == 0:
        return sign == 0
    return pow(square, (P - 1) // 2, P) == 1
