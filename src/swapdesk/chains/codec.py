"""Addresses: text at the door, scripts and bytes inside, for every network and world.

An address is accepted only in the network *and* world it is asked for, with its checksum, and is
returned in one canonical spelling, so that equal addresses are equal text. Bitcoin's test and
development worlds share their base58 prefixes (and share some with Litecoin and Dogecoin): only
segwit addresses tell those apart. Nothing here touches a key that could sign.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from coincurve import PublicKey, PublicKeyXOnly

from swapdesk.chains import base58, bech32, monero
from swapdesk.chains.digest import hash160, keccak256

EVM_NETWORKS: Final = frozenset({"ethereum", "bsc", "arbitrum"})
#: Longest text looked at; the longest address, an integrated Monero one, has 106 characters.
ADDRESS_CHARS_MAX: Final = 110
EVM_BYTES: Final = 20
EVM_CHARS: Final = 2 + 2 * EVM_BYTES
#: Leads the twenty bytes of a Tron address, in all of Tron's networks.
TRON_PREFIX: Final = 0x41
HASH_BYTES: Final = 20
#: A witness program's version opcode: OP_0, OP_1 (BIP141). Later versions have no meaning yet.
OP_0: Final = 0x00
OP_1: Final = 0x51
#: Witness version 1 has a meaning only with a program of this size: taproot (BIP341).
TAPROOT_BYTES: Final = 32
P2PKH_HEAD, P2PKH_TAIL = b"\x76\xa9\x14", b"\x88\xac"
P2SH_HEAD, P2SH_TAIL = b"\xa9\x14", b"\x87"


class BadAddress(ValueError):
    """The text is no address of this network in this world; the message says why."""


class Prefixes(msgspec.Struct, frozen=True):
    """How one Bitcoin-like chain begins its addresses."""

    p2pkh: int
    p2sh: int
    hrp: str | None  #: None where the chain has no segregated witness


#: From each project's chainparams.cpp. Litecoin's old P2SH byte 5 is left out on purpose: such an
#: address cannot be told from Bitcoin's, and every Litecoin wallet writes the new one.
PREFIXES: Final[Mapping[tuple[str, str], Prefixes]] = MappingProxyType(
    {
        ("bitcoin", "main"): Prefixes(p2pkh=0, p2sh=5, hrp="bc"),
        ("bitcoin", "test"): Prefixes(p2pkh=111, p2sh=196, hrp="tb"),
        ("bitcoin", "dev"): Prefixes(p2pkh=111, p2sh=196, hrp="bcrt"),
        ("litecoin", "main"): Prefixes(p2pkh=48, p2sh=50, hrp="ltc"),
        ("litecoin", "test"): Prefixes(p2pkh=111, p2sh=58, hrp="tltc"),
        ("litecoin", "dev"): Prefixes(p2pkh=111, p2sh=58, hrp="rltc"),
        ("dogecoin", "main"): Prefixes(p2pkh=30, p2sh=22, hrp=None),
        ("dogecoin", "test"): Prefixes(p2pkh=113, p2sh=196, hrp=None),
        ("dogecoin", "dev"): Prefixes(p2pkh=111, p2sh=196, hrp=None),
    }
)

SEGWIT_HRPS: Final = frozenset(prefixes.hrp for prefixes in PREFIXES.values())

#: Networks whose keys come from one account share a family: the same address on all EVM chains.
FAMILY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bitcoin": "bitcoin",
        "litecoin": "litecoin",
        "dogecoin": "dogecoin",
        "ethereum": "evm",
        "bsc": "evm",
        "arbitrum": "evm",
        "tron": "tron",
        "monero": "monero",
    }
)


def family_of(network: str) -> str:
    """bitcoin, litecoin, dogecoin, evm, tron or monero. Raises KeyError on an unknown network."""
    return FAMILY[network]


def check_address(network: str, world: str, text: str) -> str:
    """The canonical spelling of an address, or BadAddress with the reason.

    Canonical is lower case for segwit, EIP-55 for EVM, the text itself elsewhere. Blanks, URIs and
    addresses of another network or world are refused. An unknown network or world is our own bug
    (KeyError), never the customer's.
    """
    if not text or len(text) > ADDRESS_CHARS_MAX or not text.isascii():
        raise BadAddress("empty, too long or not ASCII")
    family = family_of(network)
    try:
        if family == "evm":
            return evm_address(evm_bytes(text))
        if family == "tron":
            return tron_address(tron_bytes(text))
        if family == "monero":
            return monero.check(world, text)
        return _address(PREFIXES[network, world], _script(PREFIXES[network, world], text))
    except BadAddress:
        raise
    except ValueError as wrong:
        raise BadAddress(str(wrong)) from wrong


def script_of(network: str, world: str, address: str) -> bytes:
    """The output script that pays a Bitcoin-like address: P2PKH, P2SH, P2WPKH, P2WSH or P2TR.

    Raises BadAddress like check_address; KeyError for a network without scripts.
    """
    try:
        return _script(PREFIXES[network, world], address)
    except BadAddress:
        raise
    except ValueError as wrong:
        raise BadAddress(str(wrong)) from wrong


def address_of_script(network: str, world: str, script: bytes) -> str | None:
    """The address that `script_of` turns into this script; None for any other script."""
    try:
        return _address(PREFIXES[network, world], script)
    except BadAddress:
        return None


def address_of_key(network: str, world: str, pubkey33: bytes) -> str:
    """The address of a compressed public key, in the kind the desk uses on that network.

    P2WPKH on Bitcoin and Litecoin, P2PKH on Dogecoin, the account address on EVM and Tron.
    Raises ValueError for Monero, whose addresses are no function of such a key.
    """
    family = family_of(network)
    if family in ("evm", "tron"):
        account = keccak256(PublicKey(pubkey33).format(compressed=False)[1:])[-EVM_BYTES:]
        return evm_address(account) if family == "evm" else tron_address(account)
    if family == "monero":
        raise ValueError("a Monero address is not made of one secp256k1 key")
    prefixes = PREFIXES[network, world]
    if prefixes.hrp is None:
        return base58.encode_check(bytes([prefixes.p2pkh]) + hash160(pubkey33))
    return bech32.encode(prefixes.hrp, 0, hash160(pubkey33))


def evm_bytes(address: str) -> bytes:
    """The twenty bytes of "0x…"; mixed case must carry the right EIP-55 checksum (BadAddress)."""
    digits = address[2:]
    if len(address) != EVM_CHARS or not address.startswith("0x"):
        raise BadAddress("an EVM address is 0x and 40 hexadecimal digits")
    if not all(char in "0123456789abcdefABCDEF" for char in digits):
        raise BadAddress("character outside hexadecimal")
    account = bytes.fromhex(digits)
    if digits not in (digits.lower(), digits.upper()) and evm_address(account) != address:
        raise BadAddress("wrong EIP-55 checksum")
    return account


def evm_address(account: bytes) -> str:
    """Twenty bytes as "0x…" in the mixed case of EIP-55."""
    assert len(account) == EVM_BYTES
    digits = account.hex()
    marks = keccak256(digits.encode()).hex()
    pairs = zip(digits, marks, strict=False)
    return "0x" + "".join(char.upper() if mark >= "8" else char for char, mark in pairs)


def tron_bytes(address: str) -> bytes:
    """The twenty bytes of "T…", the same that an EVM would use. Raises BadAddress."""
    try:
        payload = base58.decode_check(address)
    except ValueError as wrong:
        raise BadAddress(str(wrong)) from wrong
    if len(payload) != 1 + EVM_BYTES or payload[0] != TRON_PREFIX:
        raise BadAddress("not an address of Tron")
    return payload[1:]


def tron_address(account: bytes) -> str:
    """Twenty bytes as "T…": prefix 0x41, base58check."""
    assert len(account) == EVM_BYTES
    return base58.encode_check(bytes([TRON_PREFIX]) + account)


def _script(prefixes: Prefixes, text: str) -> bytes:
    hrp, separator, _ = text.lower().rpartition("1")
    if separator and hrp == prefixes.hrp:
        _, version, program = bech32.decode(text)
        if version == 0:
            return bytes([OP_0, len(program)]) + program
        if version != 1 or len(program) != TAPROOT_BYTES:
            raise BadAddress("witness version without a meaning yet")
        if not _on_curve(program):
            raise BadAddress("taproot key outside the curve, nobody could spend it")
        return bytes([OP_1, len(program)]) + program
    if separator and hrp in SEGWIT_HRPS:
        raise BadAddress("address of another network")
    payload = base58.decode_check(text)
    if len(payload) == 1 + HASH_BYTES and payload[0] == prefixes.p2pkh:
        return P2PKH_HEAD + payload[1:] + P2PKH_TAIL
    if len(payload) == 1 + HASH_BYTES and payload[0] == prefixes.p2sh:
        return P2SH_HEAD + payload[1:] + P2SH_TAIL
    raise BadAddress("address of another network")


def _address(prefixes: Prefixes, script: bytes) -> str:
    body = script[2:]
    if prefixes.hrp is not None and body and script[1] == len(body):
        if script[0] == OP_0 and len(body) in bech32.V0_PROGRAM_BYTES:
            return bech32.encode(prefixes.hrp, 0, body)
        if script[0] == OP_1 and len(body) == TAPROOT_BYTES and _on_curve(body):
            return bech32.encode(prefixes.hrp, 1, body)
    for version, head, tail in (
        (prefixes.p2pkh, P2PKH_HEAD, P2PKH_TAIL),
        (prefixes.p2sh, P2SH_HEAD, P2SH_TAIL),
    ):
        hashed = script[len(head) : -len(tail)]
        if len(hashed) == HASH_BYTES and script == head + hashed + tail:
            return base58.encode_check(bytes([version]) + hashed)
    raise BadAddress("no address has this script")


def _on_curve(x_only: bytes) -> bool:
    try:
        PublicKeyXOnly(x_only)
    except ValueError:
        return False
    return True
