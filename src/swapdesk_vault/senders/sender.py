"""What paying on a chain means: one protocol, one file per kind of chain.

A sender chooses coins or a nonce and the fee by its own node, builds, signs, reads the bytes back
and compares them with the payment. It broadcasts only bytes that the journal already holds.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from swapdesk.assets import Network
from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.handoff import HotBalance
from swapdesk_vault.payment import Payment, Prepared


class Broadcast(msgspec.Struct, frozen=True):
    """What a node said to signed bytes. Only the chain itself says more."""

    outcome: Literal["accepted", "rejected", "unknown"]  #: "already known" is accepted
    detail: str = ""


#: How far below the tip of the moment a payment may be included after a reorganisation.
REORG_BLOCKS_MAX: Final = 100


class Sender(Protocol):
    """How the vault pays on one network. Every method raises NodeTrouble like a reader's.

    Each public async method is one step; a vault killed before or after any of them goes on.
    """

    network: Network
    address: str  #: of the hot wallet, in canonical spelling

    async def observe(self) -> None:
        """Catch up with the hot wallet. UnknownOutflow when money left it without the journal."""
        ...

    async def balances(self) -> list[HotBalance]:
        """What is confirmed, spendable and not yet promised to a live payment."""
        ...

    async def prepare(self, payment: Payment, fee_units_max: int) -> Prepared:
        """Signed bytes, compared with the payment. CannotPay says why not now."""
        ...

    async def broadcast(self, raw: bytes) -> Broadcast:
        """Hand journalled bytes to the node. Never raises NodeTrouble: that is `unknown`."""
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


async def hand_over(
    nodes: Sequence[Caller], method: str, raw_hex: str, known: Callable[[NodeRefused], bool]
) -> Broadcast:
    """Give signed bytes to every node in turn until one has them. `known` errors mean it has."""
    answer = Broadcast("unknown", "no node is configured")
    for node in nodes:
        try:
            await node.call(method, [raw_hex], str)
        except NodeRefused as refused:
            if not known(refused):
                answer = Broadcast("rejected", refused.message)
                continue
        except NodeTrouble as trouble:
            answer = Broadcast("unknown", str(trouble))
            continue
        return Broadcast("accepted")
    return answer
