"""Credentials and the rules for their use, in PostgreSQL. What the doors read is in store.py."""

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.partners.credential import Key, Network, NewCredential, Scope, Signing

Q = queries(__package__, "credential_store.sql")

#: Most keys one list shows, revoked ones included.
LIST_MAX: Final = 1_000


class Rules(msgspec.Struct, frozen=True):
    """What a partner asks of its callers beside a valid signature."""

    partner_id: uuid.UUID
    name: str
    signing: Signing  #: the weakest that lets a caller in
    networks: tuple[Network, ...]  #: where calls may come from; empty: anywhere


async def rules(tx: Tx, name_or_id: str) -> Rules | None:
    """The rules of a partner, which is locked; None when there is none of that name or id."""
    row = await tx.fetchrow(Q.partner, name_or_id)
    if row is None:
        return None
    return Rules(row["id"], row["name"], Signing[row["signing"].upper()], tuple(row["networks"]))


async def keep_rules(tx: Tx, kept: Rules) -> None:
    """Write the rules of a partner."""
    await tx.execute(Q.set_rules, kept.partner_id, kept.signing.name.lower(), kept.networks)


async def add(tx: Tx, new: NewCredential) -> None:
    """Write a credential."""
    await tx.execute(
        Q.insert, new.id, new.partner_id, new.api_key, new.secret_sealed, new.public_key,
        new.label, new.scopes, new.expires_ms, new.created_ms,
    )  # fmt: skip


async def keys(tx: Tx, partner_id: uuid.UUID) -> list[Key]:
    """Every key of a partner, oldest first, revoked and expired ones too."""
    rows = await tx.fetch(Q.of_partner, partner_id, LIST_MAX)
    return [Key(**{**row, "scopes": tuple(map(Scope, row["scopes"]))}) for row in map(dict, rows)]


async def revoke(tx: Tx, api_key: str) -> bool:
    """End a key for good; False when there is none."""
    return await tx.fetchval(Q.revoke, api_key) is not None


async def expire(tx: Tx, api_key: str, at_ms: int | None) -> bool:
    """Let a live key die at an instant, or never (None); False when it is not there or revoked."""
    return await tx.fetchval(Q.expire, api_key, at_ms) is not None


async def set_scopes(tx: Tx, api_key: str, scopes: Sequence[Scope]) -> bool:
    """Say what a live key may be used for; False when it is not there or revoked."""
    return await tx.fetchval(Q.set_scopes, api_key, scopes) is not None
