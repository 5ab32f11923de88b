"""The four hashes that chains name things with."""

import hashlib

from Crypto.Hash import RIPEMD160, keccak


def sha256d(data: bytes) -> bytes:
    """SHA-256 twice: block and transaction ids, base58check."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256, 20 bytes: what a Bitcoin-like pays to. OpenSSL 3 hides RIPEMD-160."""
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()


def keccak256(data: bytes) -> bytes:
    """The Keccak of Ethereum, Tron and Monero: SHA-3 before its padding changed."""
    return keccak.new(digest_bits=256, data=data).digest()
