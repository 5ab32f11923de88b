"""Transactions of a simulated chain: built, signed and decoded again. Pure; dev world only.

How they are written is the chain's business (`swapdesk.chains.simtx`); this adds what needs a key.
"""

import hashlib
from typing import Protocol

from swapdesk.assets import Network
from swapdesk.chains import codec, simtx
from swapdesk.chains.simtx import BadTx, SimTx

__all__ = ["BadTx", "Signer", "SimTx", "build", "decode", "sign", "txid"]


class Signer(Protocol):
    """What a signature takes of `keys.PrivateKey`."""

    @property
    def public(self) -> bytes:
        """The compressed public key."""
        ...

    def sign_recoverable(self, digest: bytes) -> tuple[int, int, int]:
        """(r, s, y parity), s in the lower half."""
        ...


def build(
    network: Network, key: Signer, *, nonce: int, to: str, asset: str, units: int, fee_units: int
) -> SimTx:
    """A payment from the address of `key` of `units` of `asset` (a code of `network`) to `to`.

    `fee_units` are of the native coin. The chain judges whether the rest makes sense.
    """
    assert network.chain is not None
    sender = codec.address_of_key(network.key, "dev", key.public)
    return SimTx(network.chain, sender, nonce, to, asset, units, fee_units)


def sign(tx: SimTx, key: Signer) -> bytes:
    """The signed transaction, ready to broadcast. The same input always gives the same bytes."""
    r, s, parity = key.sign_recoverable(hashlib.sha256(simtx.body(tx)).digest())
    return simtx.assemble(tx, r.to_bytes(32) + s.to_bytes(32) + bytes([parity]))


def decode(network: Network, raw: bytes) -> SimTx:
    """The transaction inside signed bytes, its sender proved by the signature. Raises BadTx."""
    return simtx.parse(network.key, raw)


def txid(raw: bytes) -> str:
    """The name of signed bytes on the chain: SHA-256, 64 hexadecimal digits."""
    return simtx.txid_of(raw)
