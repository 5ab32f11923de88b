"""Orders in PostgreSQL. Every function takes the transaction first and never opens one."""

import uuid
from collections.abc import Collection, Mapping, Sequence

import asyncpg
import msgspec

from swapdesk.db import Row, Tx, queries
from swapdesk.money import Rate
from swapdesk.orders.order import Order
from swapdesk.orders.shown import next_shown
from swapdesk.orders.states import Cause, State, next_state

Q = queries(__package__, "store.sql")

#: A partner and the hash of one of his idempotency keys.
Key = tuple[uuid.UUID, bytes]


class Move(msgspec.Struct, frozen=True):
    """What a move sets besides the state. None keeps what the order has."""

    hold_reasons: tuple[str, ...] | None = None
    choice: str | None = None
    next_ms: int | None = None  #: when to look again; None: never
    paid_ms: int | None = None
    by: str = "desk"
    note: str | None = None


class Standing(msgspec.Struct, frozen=True, gc=False):
    """An order, and whether there is more to read about it."""

    order: Order
    has_deposits: bool
    has_intents: bool


class Claim(msgspec.Struct, frozen=True, gc=False):
    """An idempotency key of a partner with the body it came with. Hashes are 32 bytes."""

    partner_id: uuid.UUID
    key_hash: bytes
    body_hash: bytes

    @property
    def key(self) -> Key:
        """What must not be claimed twice."""
        return self.partner_id, self.key_hash


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """The order that first used a key, and what its body hashed to."""

    order_id: uuid.UUID
    body_hash: bytes


async def open_all(tx: Tx, new: Sequence[Order], by: str) -> None:
    """Write new orders in WAITING, each with the first row of its log."""
    told = next_shown((), State.WAITING)
    assert all(o.state is State.WAITING and o.rev == 0 and o.shown == told for o in new)
    await tx.execute(Q.open_logs, [o.id for o in new], [o.opened_ms for o in new], by)
    await tx.execute(
        Q.open,
        told,
        [o.id for o in new],
        [o.partner_id for o in new],
        [o.from_asset for o in new],
        [o.to_asset for o in new],
        [o.direction for o in new],
        [o.from_units for o in new],
        [o.to_units for o in new],
        [o.rate.num for o in new],
        [o.rate.den for o in new],
        [o.snapshot_id for o in new],
        [o.base_fee_bps for o in new],
        [o.markup_bps for o in new],
        [o.network_fee_units for o in new],
        [o.min_units for o in new],
        [o.max_units for o in new],
        [o.destination for o in new],
        [o.refund_address for o in new],
        [o.token_hash for o in new],
        [o.opened_ms for o in new],
        [o.window_ends_ms for o in new],
        [o.code_id for o in new],
    )


async def claim_keys(tx: Tx, claims: Mapping[Key, tuple[Claim, uuid.UUID]], at_ms: int) -> set[Key]:
    """Claim idempotency keys for orders; those that nobody had claimed before.

    Waits for a concurrent claimant to commit or roll back: exactly one order per key. The keys
    are claimed in order, so that two such transactions never wait for each other.
    """
    rows = [claims[key] for key in sorted(claims)]
    won = await tx.fetch(
        Q.claim_keys,
        [claim.partner_id for claim, _ in rows],
        [claim.key_hash for claim, _ in rows],
        [claim.body_hash for claim, _ in rows],
        [order_id for _, order_id in rows],
        at_ms,
    )
    return {(row["partner_id"], row["key_hash"]) for row in won}


async def find_keys(tx: Tx, keys: Collection[Key]) -> dict[Key, Claimed]:
    """Who used these keys before; the others are left out."""
    rows = await tx.fetch(Q.find_keys, [p for p, _ in keys], [k for _, k in keys])
    return {
        (row["partner_id"], row["key_hash"]): Claimed(row["order_id"], row["body_hash"])
        for row in rows
    }


async def read(tx: Tx, order_id: uuid.UUID) -> Order | None:
    """The order as committed, without a lock."""
    row = await tx.fetchrow(Q.read, order_id)
    return of_row(row) if row else None


async def read_all(tx: Tx, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Standing]:
    """Orders as committed, without a lock; unknown ones are left out."""
    return {
        row["id"]: Standing(of_row(row), row["has_deposits"], row["has_intents"])
        for row in await tx.fetch(Q.read_many, ids)
    }


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


async def choose(
    tx: Tx, order_id: uuid.UUID, choice: str, at_ms: int, *, next_ms: int | None
) -> None:
    """Store what was chosen for a locked order; `next_ms`: when the worker carries it out."""
    await tx.execute(Q.choose, order_id, choice, at_ms, next_ms)


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
        code_id=row["code_id"],
        deleted_ms=row["deleted_ms"],
        purged_ms=row["purged_ms"],
    )
