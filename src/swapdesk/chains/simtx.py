"""Transactions of the simulated chain: how they are written, signed and read.

The bytes are the canonical JSON of a SimTx, then a 65-byte recoverable secp256k1 signature over its
SHA-256. The sender is who the signature says, in the address spelling of the network that the chain
stands for. Nothing here can sign; the vault's sender and the tests do that.
"""

import hashlib
from typing import Final

import msgspec
from coincurve import PublicKey

from swapdesk import money
from swapdesk.chains import codec

SIGNATURE_BYTES: Final = 65
#: A transaction is about 300 bytes.
RAW_BYTES_MAX: Final = 2_048
#: Nonces count from 0; more than this nobody sends.
NONCE_MAX: Final = 2**53
#: Order of secp256k1. Only the lower half of `s` is taken, so a third party cannot change a txid.
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class BadTx(ValueError):
    """The bytes are no transaction of this chain; the message says why."""


class SimTx(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One payment of an account on a simulated chain."""

    chain: str  #: Network.chain, so that no other chain takes it
    sender: str  #: address of the key that signs
    nonce: int  #: how many transactions of this sender came before, from 0
    to: str  #: address in canonical spelling
    asset: str  #: asset code: the native coin or a token
    units: int
    fee_units: int  #: in the native coin, paid also when the transfer fails


def body(tx: SimTx) -> bytes:
    """The bytes that are signed. Their SHA-256 is the signed hash."""
    return msgspec.json.encode(tx)


def assemble(tx: SimTx, signature: bytes) -> bytes:
    """The raw transaction: body and signature (r, s, recovery id)."""
    assert len(signature) == SIGNATURE_BYTES
    return body(tx) + signature


def txid_of(raw: bytes) -> str:
    """SHA-256 of the raw bytes, hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def parse(network: str, raw: bytes) -> SimTx:
    """The transaction in `raw`, when its signature is its sender's. Raises BadTx."""
    if not SIGNATURE_BYTES < len(raw) <= RAW_BYTES_MAX:
        raise BadTx("impossible size")
    text, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
    try:
        tx = msgspec.json.decode(text, type=SimTx)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadTx(f"not a transaction: {wrong}") from None
    if body(tx) != text:
        raise BadTx("not in canonical form")
    if not 0 <= tx.nonce <= NONCE_MAX:
        raise BadTx("nonce out of range")
    if not (0 < tx.units < money.UNITS_END and 0 <= tx.fee_units < money.UNITS_END):
        raise BadTx("units out of range")
    try:
        canonical = codec.check_address(network, "dev", tx.to)
    except codec.BadAddress as wrong:
        raise BadTx(f"recipient: {wrong}") from None
    if canonical != tx.to:
        raise BadTx("recipient is not in canonical spelling")
    if _signer(network, text, signature) != tx.sender:
        raise BadTx("signed by somebody else")
    return tx


def _signer(network: str, text: bytes, signature: bytes) -> str:
    if int.from_bytes(signature[32:64]) > CURVE_ORDER >> 1:
        raise BadTx("signature is not in its lower form")
    try:
        key = PublicKey.from_signature_and_message(signature, text)
    except Exception as wrong:  # coincurve raises bare Exception for some signatures
        raise BadTx("no signature") from wrong
    return codec.address_of_key(network, "dev", key.format())
