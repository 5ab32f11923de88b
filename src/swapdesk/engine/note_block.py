"""What a chain shows: blocks, mempool, reorganisations. One block is one transaction.

The cursor moves in the same transaction as everything the block means, so a block is processed
fully or not at all. A reorganised block takes its deposits back.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from swapdesk.chains.reader import Block, BlockRef, Transfer
from swapdesk.db import Tx
from swapdesk.deposits import store as deposits
from swapdesk.deposits.store import Cursor, Deposit
from swapdesk.engine.desk import Desk
from swapdesk.engine.follow import follow
from swapdesk.errors import Refused
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import store as orders
from swapdesk.rates.store import Market

#: Processed blocks remembered per network: how deep a reorganisation can be walked back.
BLOCKS_KEPT: Final = 500


async def begin_at(desk: Desk, network: str, ref: BlockRef) -> None:
    """First start: the chain is read from `ref` on. No address of ours is older. Idempotent."""
    async with desk.db.transaction() as tx:
        if await deposits.cursor(tx, network) is None:
            await deposits.keep_block(tx, network, ref, BLOCKS_KEPT)
            await deposits.set_cursor(tx, network, Cursor(ref.height, ref.hash, ref.height, 0))


async def note_block(desk: Desk, network: str, block: Block, tip_height: int) -> bool:
    """Process the block after the cursor. False: it does not follow the cursor (look again)."""
    market = await market_or_none(desk)

    async def work(tx: Tx) -> bool:
        cursor = await deposits.cursor(tx, network, lock=True)
        if cursor is None or cursor.hash != block.ref.parent:
            return False
        touched = await _see(desk, tx, network, block.transfers, block.ref)
        touched |= await _finalise(desk, tx, network, block.ref.height)
        await deposits.keep_block(tx, network, block.ref, BLOCKS_KEPT)
        ref = block.ref
        after = Cursor(ref.height, ref.hash, max(tip_height, ref.height), cursor.synced_ms)
        await deposits.set_cursor(tx, network, after)
        await _follow_all(desk, tx, touched, market)
        return True

    return await desk.db.retrying(work)


async def note_pending(
    desk: Desk, network: str, transfers: Sequence[Transfer], tip: BlockRef, looked_ms: int
) -> bool:
    """Process the mempool as seen at `tip`, at `looked_ms`. False: the cursor is not at `tip`.

    Deposits that were waiting and are neither in the mempool nor in a block are gone.
    """
    market = await market_or_none(desk)

    async def work(tx: Tx) -> bool:
        cursor = await deposits.cursor(tx, network, lock=True)
        if cursor is None or cursor.hash != tip.hash:
            return False
        touched = await _see(desk, tx, network, transfers, None)
        present = {(t.txid, t.position) for t in transfers}
        for deposit in await deposits.waiting(tx, network):
            if (deposit.txid, deposit.position) not in present and await deposits.gone(tx, deposit):
                touched.add(deposit.order_id)
        await deposits.set_cursor(
            tx, network, Cursor(cursor.height, cursor.hash, tip.height, looked_ms)
        )
        await _follow_all(desk, tx, touched, market)
        return True

    return await desk.db.retrying(work)


async def take_back(desk: Desk, network: str, to: BlockRef) -> int:
    """Walk the cursor back to `to`, a block still in the chain; how many deposits went with it.

    Their transactions usually wait in the mempool again, so no order moves yet: the next look at
    the new blocks and the mempool tells which came back and which are gone.
    """

    async def work(tx: Tx) -> int:
        cursor = await deposits.cursor(tx, network, lock=True)
        if cursor is None or cursor.height <= to.height:
            return 0
        lost = await deposits.above(tx, network, to.height + 1)
        for deposit in lost:
            await _uncredit(desk, tx, deposit)
            await deposits.unblock(tx, deposit)
        await deposits.keep_block(tx, network, to, BLOCKS_KEPT)
        await deposits.set_cursor(
            tx, network, Cursor(to.height, to.hash, to.height, cursor.synced_ms)
        )
        return len(lost)

    return await desk.db.retrying(work)


async def market_or_none(desk: Desk) -> Market | None:
    """The newest rates, None before the first: money is noted even when nothing can be priced."""
    try:
        return await desk.market()
    except Refused:
        return None


async def _see(
    desk: Desk, tx: Tx, network: str, transfers: Sequence[Transfer], ref: BlockRef | None
) -> set[uuid.UUID]:
    """Record what pays our addresses; the orders it concerns."""
    family = desk.registry.networks[network].family
    whose = await deposits.owners(tx, family, list({t.address for t in transfers}))
    seen_ms = desk.world.now() if ref is None else min(desk.world.now(), ref.time_ms)
    ours = [t for t in transfers if t.address in whose and t.units > 0]
    touched = set()
    for transfer in sorted(ours, key=lambda t: (t.txid, t.position)):
        order_id = whose[transfer.address]
        if await deposits.see(tx, network, transfer, order_id, seen_ms, ref):
            touched.add(order_id)
    return touched


async def _finalise(desk: Desk, tx: Tx, network: str, height: int) -> set[uuid.UUID]:
    """Credit every deposit that has reached its depth with the block at `height`."""
    now, touched = desk.world.now(), set()
    depth = desk.registry.networks[network].confirmations
    for asset in desk.registry.on(network):
        for deposit in await deposits.ripe(tx, network, asset.code, height - depth + 1):
            rev = await deposits.finalise(tx, deposit, now)
            assert rev is not None, "the row was locked by `ripe`"
            arrived = _arrived(desk, deposit, rev)
            before = arrived.key(rev - 1)
            suspended = await ledger.posted(tx, before, entries.SUSPENSE) if rev > 1 else 0
            await ledger.post(tx, desk.world, entries.received(arrived, suspended))
            touched.add(deposit.order_id)
    return touched


async def _uncredit(desk: Desk, tx: Tx, deposit: Deposit) -> None:
    """Take a credited deposit out of the books again."""
    if deposit.final_ms is None:
        return
    arrived = _arrived(desk, deposit, deposit.credit_rev + 1)
    await orders.lock(tx, deposit.order_id)
    owed = await ledger.owed(tx, deposit.order_id, deposit.asset)
    await ledger.post(tx, desk.world, entries.taken_back(arrived, owed))


def _arrived(desk: Desk, deposit: Deposit, rev: int) -> entries.Arrived:
    return entries.Arrived(
        order_id=deposit.order_id,
        network=deposit.network,
        output=f"{deposit.txid}/{deposit.position}",
        rev=rev,
        asset=deposit.asset,
        units=deposit.units,
        dust=deposit.units < desk.registry.assets[deposit.asset].dust_units,
    )


async def _follow_all(
    desk: Desk, tx: Tx, touched: Iterable[uuid.UUID], market: Market | None
) -> None:
    """Let every touched order follow its facts, in id order so that two watchers cannot deadlock."""
    for order_id in sorted(touched):
        order = await orders.lock(tx, order_id)
        if order is not None:
            await follow(desk, tx, order, market)
