"""Reader of a simulated chain (simchain), over HTTP or inside the same process."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from swapdesk.assets import Network
from swapdesk.chains.reader import (
    Block,
    BlockRef,
    Identity,
    Inclusion,
    NodeTrouble,
    Placed,
    Transfer,
)
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.chains.simchain import SimChain, SimRefused

T = TypeVar("T")


class SimulatedReader:
    """See Reader."""

    def __init__(self, network: Network, rpc: Caller) -> None:
        self.network = network
        self._rpc = rpc

    async def identity(self) -> Identity:
        """See Reader.identity."""
        return await self._rpc.call("sim_identity", [], Identity)

    async def tip(self) -> BlockRef:
        """See Reader.tip."""
        return await self._rpc.call("sim_tip", [], BlockRef)

    async def ref(self, height: int) -> BlockRef | None:
        """See Reader.ref."""
        return await self._rpc.maybe("sim_ref", [height], BlockRef)

    async def block(self, ref: BlockRef) -> Block:
        """See Reader.block."""
        block = await self._rpc.maybe("sim_block", [ref.hash], Block)
        if block is None or block.ref != ref:
            raise NodeTrouble(f"{self.network.key}: {ref.hash} is not block {ref.height} any more")
        return block

    async def pending(self) -> Sequence[Transfer]:
        """See Reader.pending."""
        return await self._rpc.call("sim_mempool", [], list[Transfer])

    async def find(self, txid: str, position: str, block_hash: str) -> Placed | None:
        """See Reader.find."""
        return await self._rpc.maybe("sim_find", [txid, position, block_hash], Placed)

    async def locate(self, txid: str, since_height: int) -> Inclusion | None:
        """See Reader.locate."""
        return await self._rpc.maybe("sim_locate", [txid, since_height], Inclusion)

    async def close(self) -> None:
        """See Reader.close."""
        await self._rpc.close()


class LocalCaller:
    """A Caller straight into a SimChain of this process, for tests that live in one loop."""

    def __init__(self, chain: SimChain) -> None:
        self.chain = chain
        self.stopped = False  #: True: every call fails as if the node were down

    async def call(self, method: str, params: Sequence[object], shape: type[T]) -> T:
        """See Caller.call."""
        try:
            return msgspec.convert(self._ask(method, params), shape)
        except msgspec.ValidationError as wrong:
            raise NodeTrouble(f"{method}: {wrong}") from None

    async def maybe(self, method: str, params: Sequence[object], shape: type[T]) -> T | None:
        """See Caller.maybe."""
        answer = self._ask(method, params)
        return None if answer is None else msgspec.convert(answer, shape)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[object]]], shape: type[T]
    ) -> list[T | NodeRefused]:
        """See Caller.batch."""
        found: list[T | NodeRefused] = []
        for method, params in calls:
            try:
                found.append(await self.call(method, params, shape))
            except NodeRefused as refused:
                found.append(refused)
        return found

    async def close(self) -> None:
        """The chain stays open: it is somebody else's."""

    def _ask(self, method: str, params: Sequence[object]) -> object:
        if self.stopped:
            raise NodeTrouble("the simulated node is stopped")
        try:
            return self.chain.call(method, params)
        except SimRefused as refused:
            raise NodeRefused(method, refused.code, refused.message) from None
