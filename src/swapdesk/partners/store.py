"""Partners in PostgreSQL: who they are, which nonces they used, what they were charged."""

import uuid
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.partners.credential import Scope, Signing
from swapdesk.partners.limits import oldest_second
from swapdesk.partners.partner import Caller, Holder, Partner

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


class Stopped(msgspec.Struct, frozen=True):
    """A caller who is not let in; what is None belongs to other verdicts."""

    call: int  #: which of them, from 1
    verdict: Literal["stale", "replay", "limit"]
    cap: int | None
    taken: int | None  #: what the callers before him take of this second
    seconds: list[int] | None  #: what is charged when
    charged: list[int] | None


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


async def admit(tx: Tx, callers: Sequence[Caller], now_ms: int) -> list[Stopped]:
    """Burn nonces and charge weights, in line; those who are not let in.

    The partners stay locked until the transaction ends.
    """
    holders: dict[int, Holder] = {}
    places: dict[int, int] = {}
    for caller in callers:
        name = id(caller.holder)
        if name not in places:
            holders[name] = caller.holder
            places[name] = len(holders)
    rows = await tx.fetch(
        Q.admit,
        [holder.credential_id for holder in holders.values()],
        [holder.rows[0] for holder in holders.values()],
        [holder.rows[1] for holder in holders.values()],
        [places[id(caller.holder)] for caller in callers],
        [caller.nonce for caller in callers],
        [caller.weight for caller in callers],
        now_ms,
        oldest_second(now_ms),
        any(caller.lasting for caller in callers),
    )
    return [Stopped(**dict(row)) for row in rows]


async def forget_nonces(tx: Tx, before_ms: int, at_most: int) -> int:
    """Delete up to `at_most` nonces older than `before_ms`; how many went."""
    return _count(await tx.execute(Q.forget_nonces, before_ms, at_most))


async def forget_charges(tx: Tx, now_ms: int, at_most: int) -> int:
    """Delete up to `at_most` buckets that have left every window; how many went."""
    return _count(await tx.execute(Q.forget_charges, oldest_second(now_ms), at_most))


def _count(status: str) -> int:
    """The number in a command tag such as "DELETE 7"."""
    return int(status.rpartition(" ")[2])
