"""Where a partner's events go: URL, subscription, and the keys that sign them."""

import uuid

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.webhooks.outbox import KEY_OVERLAP_MS

Q = queries(__package__, "endpoint.sql")


class Endpoint(msgspec.Struct, frozen=True):
    """What a partner is told, and where. No secret is in here."""

    partner_id: uuid.UUID
    name: str
    url: str | None
    events: tuple[str, ...]
    secret_version: int  #: counts rotations of the secret


class PublicKey(msgspec.Struct, frozen=True):
    """The public half of a key that signs this partner's webhooks."""

    id: uuid.UUID
    public_key: bytes
    created_ms: int
    retired_ms: int | None  #: it signs beside its successor for KEY_OVERLAP_MS from then on


class NewKey(msgspec.Struct, frozen=True):
    """A key pair; the private half is sealed already."""

    id: uuid.UUID
    partner_id: uuid.UUID
    public_key: bytes
    private_sealed: bytes
    created_ms: int


async def of(tx: Tx, name_or_id: str) -> Endpoint | None:
    """The endpoint of the partner with this id or name, locked."""
    row = await tx.fetchrow(Q.of, name_or_id)
    return Endpoint(**{**row, "events": tuple(row["events"])}) if row else None


async def keep(tx: Tx, kept: Endpoint) -> None:
    """Write URL (None: no deliveries) and subscription."""
    await tx.execute(Q.keep, kept.partner_id, kept.url, list(kept.events))


async def keys(tx: Tx, partner_id: uuid.UUID, now_ms: int) -> list[PublicKey]:
    """The keys that sign now, newest first."""
    rows = await tx.fetch(Q.keys, partner_id, now_ms - KEY_OVERLAP_MS)
    return [PublicKey(**dict(row)) for row in rows]


async def retire_keys(tx: Tx, partner_id: uuid.UUID, now_ms: int) -> None:
    """The current key signs on for its overlap, beside the one that is added next."""
    await tx.execute(Q.retire_keys, partner_id, now_ms)


async def add_key(tx: Tx, new: NewKey) -> bool:
    """Make `new` the current key; False when there is one."""
    made = await tx.fetchval(
        Q.add_key, new.id, new.partner_id, new.public_key, new.private_sealed, new.created_ms
    )
    return made is not None


async def forget_keys(tx: Tx, now_ms: int) -> None:
    """Delete keys whose overlap is over."""
    await tx.execute(Q.forget_keys, now_ms - KEY_OVERLAP_MS)
