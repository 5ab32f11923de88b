"""Payout intents: the desk's wishes to the vault. One live intent per order, by constraint."""

import uuid
from collections.abc import Collection
from typing import Literal

import asyncpg
import msgspec

from swapdesk.db import Tx, queries

Q = queries(__package__, "intents.sql")


class Intent(msgspec.Struct, frozen=True):
    """One row of payout_intent. Units are minor units; None means not yet."""

    order_id: uuid.UUID
    attempt: int
    kind: Literal["payout", "refund"]
    asset: str
    units: int
    destination: str | None  #: None once purged, like txid and reason
    covers_units: int
    asked_ms: int
    acked_ms: int | None
    sent_ms: int | None
    txid: str | None
    ended_ms: int | None
    outcome: str | None
    fee_units: int
    reason: str | None


class Wish(msgspec.Struct, frozen=True):
    """What to ask the vault for. `covers_units` of the order's from_asset are answered for."""

    kind: Literal["payout", "refund"]
    asset: str
    units: int
    destination: str
    covers_units: int


async def ask(tx: Tx, order_id: uuid.UUID, wish: Wish, at_ms: int) -> int:
    """Write a new intent; its attempt number. UniqueViolationError while another one lives."""
    attempt = await tx.fetchval(
        Q.ask_payout, order_id, wish.kind, wish.asset, wish.units, wish.destination,
        wish.covers_units, at_ms,
    )  # fmt: skip
    return int(attempt)


async def lock(tx: Tx, order_id: uuid.UUID, attempt: int) -> Intent | None:
    """One intent, locked."""
    return _of(await tx.fetchrow(Q.lock_intent, order_id, attempt))


async def live(tx: Tx, order_id: uuid.UUID) -> Intent | None:
    """The intent that has not ended, if any."""
    return _of(await tx.fetchrow(Q.live_intent, order_id))


async def of_order(tx: Tx, order_id: uuid.UUID) -> list[Intent]:
    """All attempts, first to last."""
    rows = await tx.fetch(Q.intents_of, order_id)
    return [Intent(**dict(row)) for row in rows]


async def of_orders(tx: Tx, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Intent]]:
    """All attempts of these orders, first to last."""
    found: dict[uuid.UUID, list[Intent]] = {}
    for row in await tx.fetch(Q.intents_of_orders, ids):
        found.setdefault(row["order_id"], []).append(Intent(**dict(row)))
    return found


async def sent(tx: Tx, intent: Intent, txid: str, at_ms: int) -> None:
    """The vault broadcast it. A repeat changes nothing."""
    await tx.execute(Q.intent_sent, intent.order_id, intent.attempt, at_ms, txid)


async def ended(
    tx: Tx, intent: Intent, outcome: str, at_ms: int, *, txid: str | None, fee: int, why: str | None
) -> None:
    """The intent is over: final, refused, conflicted or reverted."""
    await tx.execute(
        Q.intent_ended, intent.order_id, intent.attempt, at_ms, outcome, txid, fee, why
    )


async def unacked(tx: Tx, at_most: int) -> list[Intent]:
    """What the vault has not acknowledged, oldest first."""
    rows = await tx.fetch(Q.unacked_intents, at_most)
    return [Intent(**dict(row)) for row in rows]


async def acknowledge(tx: Tx, order_id: uuid.UUID, attempt: int, at_ms: int) -> None:
    """The vault has stored this intent. A repeat changes nothing."""
    await tx.execute(Q.ack_intent, order_id, attempt, at_ms)


def _of(row: asyncpg.Record | None) -> Intent | None:
    return Intent(**dict(row)) if row else None
