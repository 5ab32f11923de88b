"""Partners in PostgreSQL: who they are, which nonces they used, what they were charged."""

import uuid
from typing import Final

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.partners.limits import oldest_second
from swapdesk.partners.partner import Holder, Partner

Q = queries(__package__, "store.sql")

#: Most partners one list shows.
LIST_MAX: Final = 1_000


class NewPartner(msgspec.Struct, frozen=True):
    """Everything a new partner starts with; secrets are sealed already."""

    id: uuid.UUID
    name: str
    markup_bps: int
    webhook_url: str | None
    webhook_secret_sealed: bytes
    credential_id: uuid.UUID
    api_key: str
    secret_sealed: bytes
    created_ms: int


async def create(tx: Tx, new: NewPartner) -> bool:
    """Write a partner with its first credential; False when the name is taken."""
    made = await tx.fetchval(
        Q.insert_partner, new.id, new.name, new.markup_bps, new.webhook_url,
        new.webhook_secret_sealed, new.created_ms,
    )  # fmt: skip
    if made is None:
        return False
    await tx.execute(
        Q.insert_credential, new.credential_id, new.id, new.api_key, new.secret_sealed,
        new.created_ms,
    )  # fmt: skip
    return True


async def everyone(tx: Tx) -> list[Partner]:
    """All partners, oldest first."""
    return [
        Partner(**{**row, "webhook_events": tuple(row["webhook_events"]),
                   "api_keys": tuple(row["api_keys"])})
        for row in map(dict, await tx.fetch(Q.all, LIST_MAX))
    ]  # fmt: skip


async def holder(tx: Tx, api_key: str) -> Holder | None:
    """Who holds `api_key`; None for an unknown or revoked one."""
    row = await tx.fetchrow(Q.holder, api_key)
    return Holder(**dict(row)) if row else None


async def burn_nonce(tx: Tx, partner_id: uuid.UUID, nonce: str, at_ms: int) -> int | None:
    """Burn a nonce and lock the partner; its budget, or None when the nonce was used before."""
    budget: int | None = await tx.fetchval(Q.burn_nonce, partner_id, nonce, at_ms)
    return budget


async def charges(tx: Tx, partner_id: uuid.UUID, now_ms: int) -> dict[int, int]:
    """Second -> weight charged, for every second that still counts. Call with the partner locked."""
    rows = await tx.fetch(Q.charges, partner_id, oldest_second(now_ms))
    return {row["at_second"]: row["weight"] for row in rows}


async def charge(tx: Tx, partner_id: uuid.UUID, now_ms: int, weight: int) -> None:
    """Add `weight` to the current second."""
    await tx.execute(Q.charge, partner_id, now_ms // 1000, weight)


async def forget_nonces(tx: Tx, before_ms: int, at_most: int) -> int:
    """Delete up to `at_most` nonces older than `before_ms`; how many went."""
    return _count(await tx.execute(Q.forget_nonces, before_ms, at_most))


async def forget_charges(tx: Tx, now_ms: int, at_most: int) -> int:
    """Delete up to `at_most` buckets that have left every window; how many went."""
    return _count(await tx.execute(Q.forget_charges, oldest_second(now_ms), at_most))


def _count(status: str) -> int:
    """The number in a command tag such as "DELETE 7"."""
    return int(status.rpartition(" ")[2])
