"""What looking at a chain means: one protocol, one conformance suite, many readers.

A reader reports what its node says about the *active* chain. It holds no state that matters: the
cursor lives in the desk's database. It needs no txindex, no archive state and no `scantxoutset`.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from swapdesk.assets import Network


class NodeTrouble(Exception):
    """The node could not be asked or gave no usable answer. Unknown, never "no"."""


class WrongChain(Exception):
    """The node follows another chain than the registry says. Stop, never guess."""


class Identity(msgspec.Struct, frozen=True):
    """Which chain a node follows."""

    chain: str  #: genesis hash (lower-case hex) or EIP-155 chain id in decimal
    subversion: str  #: the node's own name for itself


class BlockRef(msgspec.Struct, frozen=True):
    """A block's place in the chain."""

    height: int
    hash: str
    parent: str
    time_ms: int  #: the block's own timestamp


class Transfer(msgspec.Struct, frozen=True):
    """One movement of a registered asset to one address. (txid, position) is its identity."""

    txid: str
    position: str  #: vout "0"; "log:N", N-th log of its own receipt; "value" for a native transfer
    asset: str  #: asset code
    address: str  #: canonical spelling of the recipient
    units: int


class Block(msgspec.Struct, frozen=True):
    """A block with every transfer of a registered asset in it."""

    ref: BlockRef
    transfers: tuple[Transfer, ...]


class Placed(msgspec.Struct, frozen=True):
    """A transfer found in the active chain."""

    transfer: Transfer
    ref: BlockRef
    depth: int  #: 1 when its block is the tip


class Inclusion(msgspec.Struct, frozen=True):
    """A transaction found in the active chain."""

    ref: BlockRef
    depth: int
    ok: bool  #: False: included but reverted (EVM), so it moved nothing but its fee
    fee_units: int | None  #: in the native asset where the chain tells; None: the sender knows


class Reader(Protocol):
    """How the desk and the vault look at one network through one node.

    Every method raises NodeTrouble when the node cannot be asked or answers nonsense. Answers
    about blocks are about the active chain at that moment; callers re-check by hash.
    """

    network: Network

    async def identity(self) -> Identity:
        """Which chain the node follows."""
        ...

    async def tip(self) -> BlockRef:
        """The newest block of the active chain."""
        ...

    async def ref(self, height: int) -> BlockRef | None:
        """The block at `height`, None above the tip."""
        ...

    async def block(self, ref: BlockRef) -> Block:
        """The whole block `ref.hash`, complete or NodeTrouble: never a part of it."""
        ...

    async def pending(self) -> Sequence[Transfer]:
        """Transfers waiting in the node's mempool, as far as it knows them."""
        ...

    async def find(self, txid: str, position: str, block_hash: str) -> Placed | None:
        """The transfer, if `block_hash` is in the active chain and contains it; else None."""
        ...

    async def locate(self, txid: str, since_height: int) -> Inclusion | None:
        """The transaction, if the active chain contains it at `since_height` or above."""
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


async def require_identity(reader: Reader, pins: Sequence[tuple[int, str]] = ()) -> None:
    """WrongChain unless the node follows the registry's chain, through every pinned block.

    `pins` are (height, hash) of recent blocks known good: they tell a fork that kept the genesis.
    A node that has not reached a pin yet fails too: it cannot show which side it is on.
    """
    network = reader.network
    identity = await reader.identity()
    if identity.chain != network.chain:
        raise WrongChain(
            f"{network.key}: node follows chain {identity.chain}, the registry says {network.chain}"
        )
    for word in network.refuse_subversion:
        if word.lower() in identity.subversion.lower():
            raise WrongChain(f"{network.key}: node calls itself {identity.subversion!r}, refused")
    for height, block_hash in pins:
        ref = await reader.ref(height)
        if ref is None or ref.hash != block_hash:
            found = ref.hash if ref else "nothing"
            raise WrongChain(f"{network.key}: block {height} is {found}, pinned is {block_hash}")
