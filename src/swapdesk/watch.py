"""Watching one chain: read what is new, hand it to the engine, block by block.

All state is in the database; two watchers on one network only waste a little work. A node that
cannot be asked is asked again later; a node of another chain stops its network.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from swapdesk.chains.reader import BlockRef, NodeTrouble, Reader, require_identity
from swapdesk.deposits import store as deposits
from swapdesk.deposits.store import Cursor
from swapdesk.engine.desk import Desk
from swapdesk.engine.note_block import BLOCKS_KEPT, begin_at, note_block, note_pending, take_back

log = structlog.get_logger()

#: Blocks processed in one look, so that a watcher far behind can still be stopped politely.
BLOCKS_PER_LOOK_MAX: Final = 200
#: Steps of one look: walk back, a few times blocks that came meanwhile, the mempool.
STEPS_PER_LOOK_MAX: Final = 8
#: How often the node must show again which chain it follows.
IDENTITY_MS: Final = 3_600_000


class Watcher:
    """Looks at one network through one node."""

    def __init__(self, desk: Desk, reader: Reader, pins: Sequence[tuple[int, str]] = ()) -> None:
        self.desk = desk
        self.reader = reader
        self.pins = pins
        self.network = reader.network.key
        self._identified_ms: int | None = None

    async def look(self) -> bool:
        """One look at the chain; True when the cursor stands at the tip and the mempool is noted.

        Goes on at once while there is something to catch up with: on a chain with a block a second
        a watcher that waited in between would never stand at the tip. Raises NodeTrouble (ask
        again later) or WrongChain (stop).
        """
        await self._identify()
        for _ in range(STEPS_PER_LOOK_MAX):
            if await self._step():
                return True
        return False

    async def _step(self) -> bool:
        """Walk back, read blocks, or look at the mempool, whichever is due; True after the last."""
        looked_ms = self.desk.world.now()
        tip = await self.reader.tip()
        cursor = await self._cursor()
        if cursor is None:
            await begin_at(self.desk, self.network, tip)
            cursor = await self._cursor()
            assert cursor is not None
        if not await self._on_chain(cursor):
            await self._walk_back()
            return False
        if cursor.height < tip.height:
            await self._read_blocks(cursor, tip)
            return False
        return await self._read_mempool(tip, looked_ms)

    async def _identify(self) -> None:
        now = self.desk.world.now()
        if self._identified_ms is None or now - self._identified_ms >= IDENTITY_MS:
            await require_identity(self.reader, self.pins)
            self._identified_ms = now

    async def _cursor(self) -> Cursor | None:
        async with self.desk.db.pool.acquire() as connection:
            return await deposits.cursor(connection, self.network)

    async def _on_chain(self, cursor: Cursor) -> bool:
        ref = await self.reader.ref(cursor.height)
        return ref is not None and ref.hash == cursor.hash

    async def _read_blocks(self, cursor: Cursor, tip: BlockRef) -> None:
        last = min(tip.height, cursor.height + BLOCKS_PER_LOOK_MAX)
        for height in range(cursor.height + 1, last + 1):
            ref = await self.reader.ref(height)
            if ref is None:
                return
            block = await self.reader.block(ref)
            if not await note_block(self.desk, self.network, block, tip.height):
                return

    async def _read_mempool(self, tip: BlockRef, looked_ms: int) -> bool:
        pending = await self.reader.pending()
        # A block that came in between would hold what has just left the mempool: look again.
        if (await self.reader.tip()).hash != tip.hash:
            return False
        return await note_pending(self.desk, self.network, pending, tip, looked_ms)

    async def _walk_back(self) -> None:
        async with self.desk.db.pool.acquire() as connection:
            known = await deposits.known_blocks(connection, self.network, BLOCKS_KEPT)
        for height, block_hash in known:
            ref = await self.reader.ref(height)
            if ref is not None and ref.hash == block_hash:
                lost = await take_back(self.desk, self.network, ref)
                log.warning(
                    "chain reorganised", network=self.network, back_to=height, deposits=lost
                )
                return
        raise NodeTrouble(
            f"{self.network}: the chain was reorganised deeper than {len(known)} blocks; "
            "an operator must look before anything is paid"
        )
