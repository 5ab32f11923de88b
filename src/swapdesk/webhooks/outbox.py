"""The outbox: events as rows, written with what they tell, delivered by whoever leases them."""

import uuid
from typing import Final

import msgspec

from swapdesk.assets import Registry
from swapdesk.db import Tx, queries
from swapdesk.orders.order import OrderView
from swapdesk.webhooks import events
from swapdesk.webhooks.events import Cleared, PaidOut
from swapdesk.world import World

Q = queries(__package__, "outbox.sql")

#: How long a claimed event is left alone: longer than one delivery may take.
LEASE_MS: Final = 30_000
#: Deliveries side by side to one partner. An endpoint that failed last time gets one.
LANES_MAX: Final = 8
#: How long a retired Ed25519 key still signs beside the new one.
KEY_OVERLAP_MS: Final = 86_400_000
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
    key_ids: list[uuid.UUID]  #: of the Ed25519 keys that sign, newest first
    keys_sealed: list[bytes]


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that every attempt failed to deliver."""

    id: uuid.UUID
    partner_id: uuid.UUID
    partner: str
    order_id: uuid.UUID | None
    event: str
    status: str | None
    created_ms: int
    dead_ms: int
    attempt: int
    last_error: str | None


async def tell(tx: Tx, world: World, registry: Registry, view: OrderView) -> None:
    """Tell order.status_changed for the newest status shown. Once.

    Call with the order locked. NEW is no change: create has answered it.
    """
    order = view.order
    if order.shown[-1] == "NEW":
        return
    await tx.execute(
        Q.tell, world.uuid(), order.partner_id, order.id, events.ORDER_STATUS_CHANGED,
        order.shown[-1], events.status_changed_body(view, registry), view.now_ms,
    )  # fmt: skip


async def tell_paid_out(tx: Tx, world: World, partner_id: uuid.UUID, payout: PaidOut) -> bool:
    """Tell partner.paid_out; False when one with the same `paid_out_ms` was told before."""
    now, dedupe = world.now(), events.instant(payout.paid_out_ms)
    told = await tx.fetchrow(
        Q.tell, world.uuid(), partner_id, None, events.PARTNER_PAID_OUT, dedupe,
        events.paid_out_body(payout, now), now,
    )  # fmt: skip
    return told is not None


async def tell_cleared(tx: Tx, world: World, partner_id: uuid.UUID, cleared: Cleared) -> bool:
    """Tell earnings.cleared; False when one with the same `cleared_ms` was told before."""
    now, dedupe = world.now(), events.instant(cleared.cleared_ms)
    told = await tx.fetchrow(
        Q.tell, world.uuid(), partner_id, None, events.EARNINGS_CLEARED, dedupe,
        events.cleared_body(cleared, now), now,
    )  # fmt: skip
    return told is not None


async def tell_test(tx: Tx, world: World, partner_id: uuid.UUID) -> tuple[uuid.UUID, bool]:
    """Tell webhook.test, whatever the subscription: its id, and whether it will be delivered.

    Without a URL it is in the event log only.
    """
    now, event_id = world.now(), world.uuid()
    told = await tx.fetchrow(
        Q.tell, event_id, partner_id, None, events.PROBE, str(event_id), events.probe_body(now), now,
    )  # fmt: skip
    assert told is not None, "a fresh id was told before"
    return event_id, told["queued"]


async def claim(
    tx: Tx, now_ms: int, at_most: int, *, troubled: bool = False, lanes: int = LANES_MAX
) -> list[Letter]:
    """Lease up to `at_most` due events, first in first out per order within the hold-back.

    Only of partners whose last delivery failed (`troubled`), or only of the others. No partner has
    more than `lanes` leased at a time, in all processes together; a troubled one has one.
    """
    lines = [row["partner_id"] for row in await tx.fetch(Q.lines, now_ms, troubled, at_most)]
    if not lines:
        return []
    rows = await tx.fetch(  # an own statement, an own snapshot: it sees what the lock waited for
        Q.claim, lines, now_ms, now_ms + LEASE_MS, now_ms - events.HOLD_BACK_MS,
        1 if troubled else lanes, at_most, now_ms - KEY_OVERLAP_MS,
    )  # fmt: skip
    return [Letter(**dict(row)) for row in rows]


async def delivered(tx: Tx, letter: Letter, now_ms: int) -> None:
    """The receiver took it. Line before delivery: the order in which `claim` locks them."""
    await tx.execute(Q.line_works, letter.partner_id)
    await tx.execute(Q.delivered, letter.id, now_ms)


async def failed(tx: Tx, letter: Letter, error: str, retry_ms: int | None, now_ms: int) -> None:
    """The receiver did not take it: try again at `retry_ms`, or never (None: a dead letter)."""
    await tx.execute(Q.line_fails, letter.partner_id)
    await tx.execute(Q.failed, letter.id, letter.attempt, retry_ms, error[:ERROR_CHARS_MAX], now_ms)


async def dead(tx: Tx, partner_id: uuid.UUID | None, at_most: int) -> list[DeadLetter]:
    """Dead letters of one partner, or of all, newest first."""
    return [DeadLetter(**dict(row)) for row in await tx.fetch(Q.dead, partner_id, at_most)]


async def redeliver(tx: Tx, event_id: uuid.UUID, partner_id: uuid.UUID | None, now_ms: int) -> bool:
    """Deliver an event again under its id. False when there is nothing to deliver, or nowhere.

    `partner_id`: only if it is this partner's.
    """
    return await tx.fetchval(Q.redeliver, event_id, partner_id, now_ms) is not None


async def forget_order(tx: Tx, order_id: uuid.UUID) -> None:
    """An order was removed: nothing of it is delivered any more, its events lose their bodies."""
    await tx.execute(Q.forget_order_deliveries, order_id)
    await tx.execute(Q.forget_order, order_id)
