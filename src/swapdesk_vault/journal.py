"""The vault's journal: written before the effect, on the one connection that holds the lock.

Exactly one vault writes: an advisory lock lives and dies with the connection, and every row carries
the fence, a number that rises at each start. A lost connection is the end of the process; whatever
replaces it reads its rows and goes on. Each public method is one step, atomic and repeatable.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import asyncio
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import asyncpg

from swapdesk.db import STATEMENT_SECONDS_MAX, Queries, queries, set_codecs
from swapdesk.handoff import (
    PAGE_ROWS_MAX,
    Binding,
    Deposit,
    Outcome,
    PayoutIntent,
    PayoutReport,
    ReportKey,
)
from swapdesk.world import World
from swapdesk_vault.payment import (
    Bound,
    Ending,
    Payment,
    Prepared,
    Signed,
    Spending,
    Worth,
)

Q: Final[Queries] = queries(__package__, "journal.sql")

#: Advisory lock of the running vault ("SVLT"), and how long to wait for a killed one to let go.
VAULT_LOCK: Final = 0x53564C54
LOCK_SECONDS_MAX: Final = 15
LOCK_POLL_SECONDS: Final = 0.05
#: Deposits the desk may name for one order. An address that collects more is not a customer's.
HINTS_MAX: Final = 200
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
#: Longest explanation that is kept or told.
REASON_CHARS_MAX: Final = 300


class NotOurs(Exception):
    """The database belongs to another world or seed, was never initialised, or is in use."""


class Journal:
    """See the module. Made by `open`; `close` lets the next vault in."""

    def __init__(
        self, connection: asyncpg.Connection[asyncpg.Record], world: World, fence: int
    ) -> None:
        self.connection = connection
        self.fence = fence  #: of this run; the desk refuses a lower one
        self._world = world

    @classmethod
    async def open(cls, dsn: str, world: World, kind: str, link_key: str) -> Journal:
        """Take the lock and raise the fence. NotOurs says why this vault must not run on it."""
        connection = await asyncpg.connect(
            dsn,
            server_settings={
                "application_name": "swapdesk-vault",
                "statement_timeout": str(STATEMENT_SECONDS_MAX * 1000),
            },
        )
        try:
            await set_codecs(connection)
            await _take_lock(connection)
            async with connection.transaction():
                meta = await connection.fetchrow(Q.raise_fence)
                _require_ours(meta, kind, link_key)
        except asyncpg.UndefinedTableError:
            await connection.close()
            raise NotOurs("this database has no journal; run swapdesk-vault init") from None
        except BaseException:
            await connection.close()
            raise
        assert meta is not None
        return cls(connection, world, meta["fence"])

    async def close(self) -> None:
        """Let go of the lock."""
        await self.connection.close()

    # Bindings.

    async def bind(
        self, binding: Binding, family: str, attestation: str
    ) -> Literal["stored", "known", "changed", "taken"]:
        """Store a binding once. `changed` and `taken` are reasons to stop; nothing was written."""
        b = binding
        stored = await self.connection.execute(
            Q.bind, uuid.UUID(b.order_id), family, b.index, b.network, b.address, b.from_asset,
            b.to_asset, b.destination, b.refund_address, b.opened_at_ms, attestation,
            self._world.now(), self.fence,
        )  # fmt: skip
        if stored.endswith(" 1"):
            return "stored"
        known = await self.bound(uuid.UUID(b.order_id))
        if known is None:
            return "taken"
        return "known" if known.binding == binding else "changed"

    async def bound(self, order_id: uuid.UUID) -> Bound | None:
        """What an order was bound to when it opened."""
        row = await self.connection.fetchrow(Q.bound, order_id)
        if row is None:
            return None
        fields = dict(row)
        stored_ms = fields.pop("stored_ms")
        return Bound(Binding(**{**fields, "order_id": str(order_id)}), stored_ms)

    async def owns(self, family: str, address: str) -> bool:
        """True when the address is a deposit address of some order."""
        return bool(await self.connection.fetchval(Q.owns, family, address))

    # From intent to signed bytes.

    async def accept(
        self, intent: PayoutIntent, network: str
    ) -> Literal["stored", "known", "changed", "refused"]:
        """Store an intent once. An attempt beside a live one is journalled as refused at once.

        `changed`: this attempt was stored with other contents; nothing was written.
        """
        order_id, now = uuid.UUID(intent.order_id), self._world.now()
        wish = (intent.kind, intent.asset, intent.units, intent.destination, intent.covers_units)
        values = (
            order_id, intent.attempt, intent.kind, network, *wish[1:], now, self.fence,
        )  # fmt: skip
        async with self.connection.transaction():
            if await self.connection.fetchval(Q.accept, *values):
                await self._hint(order_id, intent.deposits)
                return "stored"
            known = await self.connection.fetchrow(Q.known, order_id, intent.attempt)
            if known is not None:
                return "known" if tuple(known) == wish else "changed"
            reason = "another attempt of this order is still live"
            await self.connection.execute(Q.accept_refused, *values, reason)
            await self._report(order_id, intent.attempt, "refused", reason=reason)
            await self._event("refused", order_id, intent.attempt, reason)
        return "refused"

    async def hint(self, order_id: uuid.UUID, deposits: Sequence[Deposit]) -> None:
        """Remember where the desk says an order's deposits lie now."""
        async with self.connection.transaction():
            await self._hint(order_id, deposits)

    async def hints(self, order_id: uuid.UUID) -> list[tuple[str, str, str]]:
        """(txid, position, block hash) of every deposit the desk named for an order."""
        return [tuple(row) for row in await self.connection.fetch(Q.hints, order_id)]

    async def live(self) -> list[Payment]:
        """Every payment that has not ended, oldest first."""
        return [Payment(**dict(row)) for row in await self.connection.fetch(Q.live)]

    async def answered(self, payment: Payment) -> tuple[int, frozenset[str]]:
        """Units that other payments of this order answer for (live or final), and their kinds."""
        rows = await self.connection.fetch(Q.answered, payment.order_id, payment.attempt)
        return sum(row["covers_units"] for row in rows), frozenset(row["kind"] for row in rows)

    async def spending(self, asset: str) -> Spending:
        """What was signed in the last hour and day."""
        now = self._world.now()
        row = await self.connection.fetchrow(Q.spending, now - HOUR_MS, now - DAY_MS, asset)
        assert row is not None
        return Spending(**dict(row))

    async def trouble(
        self,
        payment: Payment,
        reason: str,
        retry_ms: int,
        *,
        doubt: bool = False,
        alarm: bool = False,
    ) -> None:
        """Look at it again in `retry_ms`. An event is written when the reason is a new one.

        `doubt`: its deposit was not verified; the first such moment starts the patience.
        `alarm`: the operator should see it in `status`.
        """
        now, reason = self._world.now(), reason[:REASON_CHARS_MAX]
        since = (payment.doubt_ms or now) if doubt else payment.doubt_ms
        async with self.connection.transaction():
            await self.connection.execute(
                Q.trouble, payment.order_id, payment.attempt, reason, since, now + retry_ms
            )
            if reason != payment.trouble:
                kind = "alarm" if alarm else "held"
                await self._event(kind, payment.order_id, payment.attempt, reason)

    async def refuse(self, payment: Payment, reason: str) -> None:
        """End a payment of which nothing is signed. The database refuses it otherwise."""
        now, reason = self._world.now(), reason[:REASON_CHARS_MAX]
        key = (payment.order_id, payment.attempt)
        async with self.connection.transaction():
            await self.connection.execute(Q.refuse, *key, now, reason)
            await self._report(*key, "refused", reason=reason)
            await self._event("refused", *key, reason)

    async def keep(self, payment: Payment, prepared: Prepared, worth: Worth) -> None:
        """The signed bytes with their coins or nonce, in one transaction, before any broadcast.

        UniqueViolationError when a coin or nonce belongs to another payment.
        """
        now, key = self._world.now(), (payment.order_id, payment.attempt)
        async with self.connection.transaction():
            if not await self.connection.fetchval(Q.mark_signed, *key, now):
                raise AssertionError(f"payment {key} is signed or over")
            for txid, vout in prepared.inputs:
                await self.connection.execute(
                    Q.claim_input, payment.network, txid, vout, *key, self.fence
                )
            if prepared.nonce:
                await self.connection.execute(
                    Q.claim_nonce, payment.network, *prepared.nonce, *key, self.fence
                )
            await self.connection.execute(
                Q.keep_signed, payment.network, prepared.txid, *key, prepared.raw,
                prepared.fee_units, prepared.since_height, worth.paid_usd, worth.received_usd,
                worth.late, now, self.fence,
            )  # fmt: skip

    # From signed bytes to one of the three ends.

    async def variants(self, payment: Payment) -> list[Signed]:
        """Every signed variant, first to last."""
        rows = await self.connection.fetch(Q.variants, payment.order_id, payment.attempt)
        return [Signed(**dict(row)) for row in rows]

    async def sent(self, payment: Payment, signed: Signed, again_ms: int) -> None:
        """It was accepted by a node or seen in a block: tell the desk, once."""
        now, key = self._world.now(), (payment.order_id, payment.attempt)
        async with self.connection.transaction():
            if await self.connection.fetchval(Q.sent, *key, now, signed.txid, now + again_ms):
                await self._report(*key, "sent", txid=signed.txid, fee_units=signed.fee_units)
            else:
                await self.connection.execute(Q.rebroadcast, *key, now + again_ms)

    async def end(
        self, payment: Payment, outcome: Ending, txid: str, fee_units: int, detail: str = ""
    ) -> None:
        """The chain has decided, at final depth."""
        now, key = self._world.now(), (payment.order_id, payment.attempt)
        async with self.connection.transaction():
            await self.connection.execute(Q.end, *key, now, outcome, txid)
            await self._report(*key, outcome, txid=txid, fee_units=fee_units)
            if outcome != "final":
                await self._event(outcome, *key, detail or txid)

    # Reports, stops.

    async def reports_due(self) -> list[PayoutReport]:
        """One page of what the desk has not accepted yet, oldest first."""
        rows = await self.connection.fetch(Q.reports_due, PAGE_ROWS_MAX)
        return [PayoutReport(**{**dict(row), "order_id": str(row["order_id"])}) for row in rows]

    async def accepted(self, keys: Iterable[ReportKey]) -> None:
        """The desk has these reports."""
        now = self._world.now()
        rows = [(uuid.UUID(key.order_id), key.attempt, key.outcome, now) for key in keys]
        async with self.connection.transaction():
            await self.connection.executemany(Q.accepted, rows)

    async def alarm(self, detail: str) -> None:
        """Something that the operator should see in `status`, about no payment in particular."""
        detail = detail[:REASON_CHARS_MAX]
        await self._event("alarm", None, None, detail)

    async def stop(self, reason: str) -> None:
        """Sign nothing any more, until the operator resumes; also after a restart."""
        reason = reason[:REASON_CHARS_MAX]
        await self.connection.execute(Q.stop, self._world.now(), self.fence, reason)

    async def stopped(self) -> str | None:
        """Why this vault signs nothing, if it does not."""
        reason: str | None = await self.connection.fetchval(Q.stopped)
        return reason

    async def _hint(self, order_id: uuid.UUID, deposits: Sequence[Deposit]) -> None:
        for each in deposits:
            await self.connection.execute(
                Q.hint, order_id, each.txid, each.position, each.block_hash, HINTS_MAX
            )

    async def _report(
        self,
        order_id: uuid.UUID,
        attempt: int,
        outcome: Outcome,
        *,
        txid: str | None = None,
        fee_units: int = 0,
        reason: str | None = None,
    ) -> None:
        values: tuple[Any, ...] = (order_id, attempt, outcome, txid, fee_units, reason)
        await self.connection.execute(Q.report, *values, self._world.now(), self.fence)

    async def _event(
        self, kind: str, order_id: uuid.UUID | None, attempt: int | None, detail: str
    ) -> None:
        now = self._world.now()
        await self.connection.execute(Q.event, now, self.fence, kind, order_id, attempt, detail)


def _require_ours(meta: asyncpg.Record | None, kind: str, link_key: str) -> None:
    if meta is None:
        raise NotOurs("this database was never initialised; run swapdesk-vault init")
    if (meta["world"], meta["link_key"]) != (kind, link_key):
        raise NotOurs(
            f"this database belongs to a vault of world {meta['world']!r} with link key"
            f" {meta['link_key'][:16]}…; this one is {kind!r}, {link_key[:16]}…"
        )


async def _take_lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """A killed vault's lock goes when the server notices; another living one keeps it."""
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", VAULT_LOCK):
        if time.monotonic() > deadline:
            raise NotOurs("another vault runs on this database")
        await asyncio.sleep(LOCK_POLL_SECONDS)
