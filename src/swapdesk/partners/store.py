"""Partners in PostgreSQL: who they are, which nonces they used, what they were charged."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.partners.credential import Scope, Signing
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


class Gate(msgspec.Struct, frozen=True):
    """What decides whether a caller with one credential is let in."""

    weight_per_minute: int
    rows: tuple[int, int]  #: compare with Holder.rows


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


async def holders(tx: Tx, api_keys: Sequence[str]) -> dict[str, Holder]:
    """Who holds these api keys; unknown and revoked ones are left out."""
    return {
        row["api_key"]: Holder(
            partner_id=row["partner_id"],
            enabled=row["enabled"],
            markup_bps=row["markup_bps"],
            credential_id=row["credential_id"],
            version=row["version"],
            webhook_version=row["webhook_version"],
            secret_sealed=row["secret_sealed"],
            public_key=row["public_key"],
            scopes=frozenset(map(Scope, row["scopes"])),
            expires_ms=row["expires_ms"],
            signing=Signing[row["signing"].upper()],
            networks=tuple(row["networks"]),
            rows=(row["partner_row"], row["credential_row"]),
        )
        for row in await tx.fetch(Q.holders, api_keys)
    }


async def lock(tx: Tx, credentials: Collection[uuid.UUID]) -> dict[uuid.UUID, Gate]:
    """Lock the partners of these credentials; those switched off or revoked are left out."""
    return {
        row["credential_id"]: Gate(
            row["weight_per_minute"], (row["partner_row"], row["credential_row"])
        )
        for row in await tx.fetch(Q.lock_partners, credentials)
    }


async def burn_nonces(
    tx: Tx, nonces: Collection[tuple[uuid.UUID, str]], at_ms: int
) -> set[tuple[uuid.UUID, str]]:
    """Burn nonces of locked partners; those that were not used before."""
    rows = await tx.fetch(Q.burn_nonces, [p for p, _ in nonces], [n for _, n in nonces], at_ms)
    return {(row["partner_id"], row["nonce"]) for row in rows}


async def charges(
    tx: Tx, partners: Collection[uuid.UUID], now_ms: int
) -> dict[uuid.UUID, dict[int, int]]:
    """Partner -> second -> weight, for every second that still counts. Call with them locked."""
    found: dict[uuid.UUID, dict[int, int]] = {partner_id: {} for partner_id in partners}
    for row in await tx.fetch(Q.charges, partners, oldest_second(now_ms)):
        found[row["partner_id"]][row["at_second"]] = row["weight"]
    return found


async def charge(tx: Tx, weights: Mapping[uuid.UUID, int], now_ms: int) -> None:
    """Add weights of partners to the current second."""
    await tx.execute(Q.charge, weights.keys(), weights.values(), now_ms // 1000)


async def forget_nonces(tx: Tx, before_ms: int, at_most: int) -> int:
    """Delete up to `at_most` nonces older than `before_ms`; how many went."""
    return _count(await tx.execute(Q.forget_nonces, before_ms, at_most))


async def forget_charges(tx: Tx, now_ms: int, at_most: int) -> int:
    """Delete up to `at_most` buckets that have left every window; how many went."""
    return _count(await tx.execute(Q.forget_charges, oldest_second(now_ms), at_most))


def _count(status: str) -> int:
    """The number in a command tag such as "DELETE 7"."""
    return int(status.rpartition(" ")[2])
