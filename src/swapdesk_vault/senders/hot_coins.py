"""Reading blocks for coins that pay the hot wallet: no node wallet, no txindex, no scantxoutset."""

from typing import Final

from swapdesk.chains.reader import Reader
from swapdesk_vault.hot_wallet import HotWallet

#: Blocks read in one step, so that a long way to the tip does not keep payments waiting.
BLOCKS_PER_STEP: Final = 200


class HotCoins:
    """Follows the active chain with a cursor of its own, back and forth through reorganisations."""

    def __init__(
        self, reader: Reader, wallet: HotWallet, address: str, birth_height: int | None
    ) -> None:
        """`birth_height`: no block below paid the wallet. None: start at the tip of the moment."""
        self._reader, self._wallet, self._address = reader, wallet, address
        self._network = reader.network.key
        self._birth = birth_height
        self._reached: str | None = None
        self.height: int | None = None  #: of the tip, once every block up to it was read

    async def catch_up(self) -> bool:
        """Read towards the tip, one step. True when a tip was reached that is a new one."""
        tip = await self._reader.tip()
        height = await self._undo_stale()
        if height is not None:
            start = height + 1
        else:
            start = tip.height if self._birth is None else min(self._birth, tip.height)
        for number in range(start, min(tip.height + 1, start + BLOCKS_PER_STEP)):
            if not await self._read(number):
                break
        cursor = await self._wallet.cursor(self._network)
        there = cursor is not None and cursor[1] == tip.hash
        news = there and self._reached != tip.hash
        self.height, self._reached = (tip.height, tip.hash) if there else (None, None)
        return news

    async def _undo_stale(self) -> int | None:
        """Take back blocks that left the chain; the height of the newest that is still in it."""
        while cursor := await self._wallet.cursor(self._network):
            height, block_hash = cursor
            ref = await self._reader.ref(height)
            if ref is not None and ref.hash == block_hash:
                return height
            await self._wallet.undo_block(self._network, height)
        return None

    async def _read(self, number: int) -> bool:
        ref = await self._reader.ref(number)
        cursor = await self._wallet.cursor(self._network)
        if ref is None or (cursor is not None and cursor[1] != ref.parent):
            return False  # the chain moved meanwhile; the next step sees it
        block = await self._reader.block(ref)
        found = [
            (each.txid, int(each.position), each.units)
            for each in block.transfers
            if each.address == self._address
        ]
        await self._wallet.note_block(self._network, ref, found)
        return True
