"""The journal's side of the hot wallet: coins found in blocks, nonces allotted, what is under way.

Coins and blocks are what the vault's own node showed and can be read again; claims on coins and
nonces are written with the signed bytes (`Journal.keep`) and stay for ever.
"""

from collections.abc import Iterable

from swapdesk.chains.reader import BlockRef
from swapdesk_vault.journal import Journal, Q
from swapdesk_vault.payment import Coin, Outgoing

#: Blocks whose hashes are kept to find the fork after a reorganisation.
BLOCKS_KEPT = 500


class HotWallet:
    """Each public method is one step, atomic and repeatable."""

    def __init__(self, journal: Journal) -> None:
        self._connection = journal.connection
        self._fence = journal.fence

    async def cursor(self, network: str) -> tuple[int, str] | None:
        """Height and hash of the last block read; None before the first."""
        row = await self._connection.fetchrow(Q.hot_block, network)
        return (row["height"], row["hash"]) if row else None

    async def note_block(
        self, network: str, ref: BlockRef, found: Iterable[tuple[str, int, int]]
    ) -> None:
        """One block, whole: (txid, vout, units) of every output that pays the hot wallet."""
        async with self._connection.transaction():
            await self._connection.execute(Q.note_block, network, ref.height, ref.hash)
            for txid, vout, units in found:
                await self._connection.execute(Q.note_coin, network, txid, vout, units, ref.height)
            await self._connection.execute(Q.forget_blocks, network, ref.height - BLOCKS_KEPT)

    async def undo_block(self, network: str, height: int) -> None:
        """The block at `height` left the chain, and what it brought with it."""
        async with self._connection.transaction():
            await self._connection.execute(Q.undo_coins, network, height)
            await self._connection.execute(Q.undo_blocks, network, height)

    async def coins(self, network: str) -> list[Coin]:
        """Coins in blocks read so far that no payment has taken, oldest first."""
        return [Coin(**dict(row)) for row in await self._connection.fetch(Q.coins, network)]

    async def next_nonce(self, network: str, sender: str, chain_nonce: int) -> int:
        """The nonce to allot next. At first use it starts where the chain stands."""
        await self._connection.execute(Q.open_account, network, sender, chain_nonce, self._fence)
        return int(await self._connection.fetchval(Q.next_nonce, network, sender))

    async def outgoing(self, network: str, sender: str) -> list[Outgoing]:
        """Live payments of an account with signed bytes, by nonce."""
        rows = await self._connection.fetch(Q.outgoing, network, sender)
        return [Outgoing(**dict(row)) for row in rows]
