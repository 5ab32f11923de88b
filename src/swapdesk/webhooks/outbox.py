"""The outbox: events as rows, written with what they tell, delivered by whoever leases them."""

import uuid
from typing import Final

import msgspec

from swapdesk.assets import Registry
from swapdesk.db import Row, Tx, queries
from swapdesk.orders.order import OrderView
from swapdesk.webhooks.events import HOLD_BACK_MS, ORDER_STATUS_CHANGED, status_changed_body
from swapdesk.world import World

Q = queries(__package__, "outbox.sql")

#: How long a claimed event is left alone: longer than one delivery may take.
LEASE_MS: Final = 30_000
#: Characters of an error worth keeping.
ERROR_CHARS_MAX: Final = 200


class Letter(msgspec.Struct, frozen=True):
    """A leased event: what goes out now, and where."""

    id: uuid.UUID
    partner_id: uuid.UUID
    event: str
    body: bytes
    attempt: int  #: 1, 2, ...
    webhook_url: str | None  #: None: taken away since
    webhook_secret_sealed: bytes


async def tell(tx: Tx, world: World, registry: Registry, view: OrderView) -> None:
    """Enqueue order.status_changed for the newest status shown, if the partner wants it. Once.

    Call with the order locked. NEW is no change: create has answered it.
    """
    order = view.order
    if order.shown[-1] == "NEW":
        return
    await tx.execute(
        Q.tell, world.uuid(), order.partner_id, order.id, ORDER_STATUS_CHANGED, order.shown[-1],
        status_changed_body(view, registry), view.now_ms,
    )  # fmt: skip


async def claim(tx: Tx, now_ms: int, at_most: int) -> list[Letter]:
    """Lease up to `at_most` due events. First in, first out per order within the hold-back."""
    rows = await tx.fetch(Q.claim, now_ms, now_ms + LEASE_MS, now_ms - HOLD_BACK_MS, at_most)
    return [Letter(**dict(row)) for row in rows]


async def delivered(tx: Tx, letter: Letter, now_ms: int) -> None:
    """The receiver took it."""
    await tx.execute(Q.delivered, letter.id, now_ms)


async def failed(tx: Tx, letter: Letter, error: str, retry_ms: int | None, now_ms: int) -> None:
    """The receiver did not take it: try again at `retry_ms`, or never (None: a dead letter)."""
    await tx.execute(Q.failed, letter.id, letter.attempt, retry_ms, error[:ERROR_CHARS_MAX], now_ms)


async def dead(tx: Tx, at_most: int) -> list[Row]:
    """Dead letters for the operator, newest first."""
    return await tx.fetch(Q.dead, at_most)
