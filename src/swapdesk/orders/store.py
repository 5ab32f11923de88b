"""Orders in PostgreSQL. Every function takes the transaction first and never opens one."""

import uuid

import asyncpg
import msgspec

from swapdesk.db import Row, Tx, queries
from swapdesk.money import Rate
from swapdesk.orders.order import Order
from swapdesk.orders.shown import next_shown
from swapdesk.orders.states import Cause, State, next_state

Q = queries(__package__, "store.sql")


class Move(msgspec.Struct, frozen=True):
    """What a move sets besides the state. None keeps what the order has."""

    hold_reasons: tuple[str, ...] | None = None
    choice: str | None = None
    next_ms: int | None = None  #: when to look again; None: never
    paid_ms: int | None = None
    by: str = "desk"
    note: str | None = None


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key of a partner. Hashes are 32 bytes."""

    partner_id: uuid.UUID
    key_hash: bytes
    body_hash: bytes


class Claimed(msgspec.Struct, frozen=True):
    """The order that first used a key, and what its body hashed to."""

    order_id: uuid.UUID
    body_hash: bytes


async def insert(tx: Tx, order: Order, by: str) -> None:
    """Write a new order in WAITING with the first row of its log."""
    await tx.execute(
        Q.insert_log, order.id, 0, None, None, State.WAITING.value, order.opened_ms, by, None
    )
    await tx.execute(
        Q.insert, order.id, order.partner_id, list(order.shown), order.from_asset, order.to_asset,
        order.direction, order.from_units, order.to_units, order.rate.num, order.rate.den,
        order.snapshot_id, order.base_fee_bps, order.markup_bps, order.network_fee_units,
        order.min_units, order.max_units, order.destination, order.refund_address,
        order.token_hash, order.opened_ms, order.window_ends_ms,
    )  # fmt: skip


async def claim_key(tx: Tx, claim: Claim, order_id: uuid.UUID, at_ms: int) -> Claimed | None:
    """Claim an idempotency key for `order_id`; the earlier claim if somebody was first.

    Waits for a concurrent claimant to commit or roll back: exactly one order per key.
    """
    won = await tx.fetchval(
        Q.claim_key, claim.partner_id, claim.key_hash, claim.body_hash, order_id, at_ms
    )
    return None if won else await find_key(tx, claim)


async def find_key(tx: Tx, claim: Claim) -> Claimed | None:
    """Who used this key before."""
    row = await tx.fetchrow(Q.find_key, claim.partner_id, claim.key_hash)
    return Claimed(row["order_id"], row["body_hash"]) if row else None


async def read(tx: Tx, order_id: uuid.UUID) -> Order | None:
    """The order as committed, without a lock."""
    row = await tx.fetchrow(Q.read, order_id)
    return of_row(row) if row else None


async def lock(tx: Tx, order_id: uuid.UUID) -> Order | None:
    """The order, locked until the transaction ends."""
    row = await tx.fetchrow(Q.lock, order_id)
    return of_row(row) if row else None


async def move(tx: Tx, order: Order, cause: Cause, at_ms: int, what: Move) -> Order | None:
    """Let `cause` move a locked order. None: the cause does not apply in its state.

    The log row comes first; a foreign key ties the order to it, another to `allowed_move`.
    """
    to_state = next_state(order.state, cause)
    if to_state is None:
        return None
    moved = msgspec.structs.replace(
        order,
        state=to_state,
        rev=order.rev + 1,
        updated_ms=at_ms,
        shown=next_shown(order.shown, to_state),
        hold_reasons=order.hold_reasons if what.hold_reasons is None else what.hold_reasons,
        choice=what.choice or order.choice,
        next_ms=what.next_ms,
        paid_ms=order.paid_ms or what.paid_ms,
    )
    await tx.execute(
        Q.insert_log, order.id, moved.rev, order.state.value, cause.value, to_state.value, at_ms,
        what.by, what.note,
    )  # fmt: skip
    rev = await tx.fetchval(
        Q.advance, order.id, order.rev, order.state.value, to_state.value, at_ms,
        list(moved.shown), list(moved.hold_reasons), moved.choice, moved.next_ms, what.paid_ms,
    )  # fmt: skip
    assert rev == moved.rev, "the order was locked, so nobody can have moved it"
    return moved


async def reprice(tx: Tx, order: Order) -> None:
    """Store the units, rate, snapshot and network fee of `order`: what it now promises."""
    await tx.execute(
        Q.reprice, order.id, order.from_units, order.to_units, order.rate.num, order.rate.den,
        order.snapshot_id, order.network_fee_units,
    )  # fmt: skip


async def look_again(tx: Tx, order_id: uuid.UUID, at_ms: int | None) -> None:
    """Set when the worker looks at the order without being told; None: never."""
    await tx.execute(Q.look_again, order_id, at_ms)


async def due(tx: Tx, now_ms: int, at_most: int) -> list[uuid.UUID]:
    """Orders whose time to be looked at has come, oldest first."""
    return [row["id"] for row in await tx.fetch(Q.due, now_ms, at_most)]


async def unbound(tx: Tx, at_most: int) -> list[Order]:
    """Orders whose binding the vault has not acknowledged."""
    return [of_row(row) for row in await tx.fetch(Q.unbound, at_most)]


async def bound(tx: Tx, order_id: uuid.UUID, at_ms: int, attestation: str) -> None:
    """The vault has stored the binding and signed it. A repeat changes nothing."""
    await tx.execute(Q.bound, order_id, at_ms, attestation)


async def held(tx: Tx, at_most: int) -> list[Order]:
    """The operator's work list, longest waiting first."""
    return [of_row(row) for row in await tx.fetch(Q.held, at_most)]


async def recent(tx: Tx, at_most: int) -> list[Order]:
    """The newest orders."""
    return [of_row(row) for row in await tx.fetch(Q.recent, at_most)]


async def log_of(tx: Tx, order_id: uuid.UUID) -> list[Row]:
    """Every move of an order, oldest first."""
    return await tx.fetch(Q.log_of, order_id)


def of_row(row: asyncpg.Record) -> Order:
    """An order from a row of `orders` joined with its pay-in address."""
    return Order(
        id=row["id"],
        partner_id=row["partner_id"],
        state=State(row["state"]),
        rev=row["rev"],
        shown=tuple(row["shown"]),
        from_asset=row["from_asset"],
        to_asset=row["to_asset"],
        direction=row["direction"],
        from_units=row["from_units"],
        to_units=row["to_units"],
        rate=Rate(row["from_asset"], row["to_asset"], row["rate_num"], row["rate_den"]),
        snapshot_id=row["snapshot_id"],
        base_fee_bps=row["base_fee_bps"],
        markup_bps=row["markup_bps"],
        network_fee_units=row["network_fee_units"],
        min_units=row["min_units"],
        max_units=row["max_units"],
        destination=row["destination"],
        refund_address=row["refund_address"],
        token_hash=row["token_hash"],
        opened_ms=row["opened_ms"],
        window_ends_ms=row["window_ends_ms"],
        updated_ms=row["updated_ms"],
        paid_ms=row["paid_ms"],
        next_ms=row["next_ms"],
        hold_reasons=tuple(row["hold_reasons"]),
        choice=row["choice"],
        attestation=row["attestation"],
        network=row["network"],
        address_index=row["address_index"],
        address=row["address"],
    )
