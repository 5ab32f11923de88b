"""The desk's half of the link: what the vault pulls, and what it tells besides payments."""

import uuid
from collections.abc import Sequence

from swapdesk.db import Tx
from swapdesk.deposits import store as deposits
from swapdesk.engine.desk import Desk
from swapdesk.engine.view import counts
from swapdesk.handoff import (
    PAGE_ROWS_MAX,
    Acknowledged,
    Beat,
    Binding,
    Deposit,
    PayoutIntent,
)
from swapdesk.orders import intents as wishes
from swapdesk.orders import store as orders
from swapdesk.orders import vault_words
from swapdesk.orders.order import Order


def binding_of(order: Order) -> Binding:
    """What an order promised when it opened."""
    assert order.destination is not None, "an order is purged only after it was bound"
    return Binding(
        order_id=str(order.id),
        network=order.network,
        index=order.address_index,
        address=order.address,
        from_asset=order.from_asset,
        to_asset=order.to_asset,
        destination=order.destination,
        refund_address=order.refund_address,
        opened_at_ms=order.opened_ms,
    )


async def unbound(desk: Desk) -> list[Binding]:
    """A page of bindings the vault has not acknowledged, oldest order first."""
    async with desk.db.transaction() as tx:
        return [binding_of(order) for order in await orders.unbound(tx, PAGE_ROWS_MAX)]


async def acknowledge(desk: Desk, rows: Sequence[Acknowledged]) -> None:
    """The vault stored these bindings. Repeats change nothing."""
    async with desk.db.transaction() as tx:
        for row in sorted(rows, key=lambda r: r.order_id):
            await orders.bound(tx, uuid.UUID(row.order_id), desk.world.now(), row.attestation)


async def intents(desk: Desk) -> list[PayoutIntent]:
    """A page of intents the vault has not acknowledged, oldest first."""
    async with desk.db.transaction() as tx:
        return [await _intent(desk, tx, row) for row in await wishes.unacked(tx, PAGE_ROWS_MAX)]


async def _intent(desk: Desk, tx: Tx, row: wishes.Intent) -> PayoutIntent:
    assert row.destination is not None, "a live intent has one (payout_intent_purged)"
    return PayoutIntent(
        order_id=str(row.order_id),
        attempt=row.attempt,
        kind=row.kind,
        asset=row.asset,
        units=row.units,
        destination=row.destination,
        covers_units=row.covers_units,
        deposits=tuple(await _hints(desk, tx, row.order_id)),
    )


async def acknowledge_intents(desk: Desk, rows: Sequence[tuple[str, int]]) -> None:
    """The vault stored these intents. Repeats change nothing."""
    async with desk.db.transaction() as tx:
        for order_id, attempt in sorted(rows):
            await wishes.acknowledge(tx, uuid.UUID(order_id), attempt, desk.world.now())


async def deposits_of(desk: Desk, order_ids: Sequence[str]) -> dict[str, list[Deposit]]:
    """Where the money of these orders is now; blocks may have changed since the intent."""
    async with desk.db.transaction() as tx:
        return {
            order_id: await _hints(desk, tx, uuid.UUID(order_id))
            for order_id in order_ids[:PAGE_ROWS_MAX]
        }


async def note_beat(desk: Desk, beat: Beat) -> bool:
    """A sign of life. False when a newer vault has spoken: this one was fenced off."""
    async with desk.db.transaction() as tx:
        return await vault_words.keep_beat(tx, beat, desk.world.now())


async def burn_link_nonce(desk: Desk, nonce: str) -> bool:
    """True the first time a nonce is used on the link."""
    async with desk.db.transaction() as tx:
        return await vault_words.burn_nonce(tx, nonce, desk.world.now())


async def _hints(desk: Desk, tx: Tx, order_id: uuid.UUID) -> list[Deposit]:
    order = await orders.read(tx, order_id)
    if order is None:
        return []
    asset = desk.registry.assets[order.from_asset]
    return [
        Deposit(d.txid, d.position, d.block_hash, d.units)
        for d in await deposits.of_order(tx, order_id)
        if counts(d, asset) and d.block_hash is not None
    ]
