"""Reference codes: a partner's names for where his customers come from, each with its own markup.

A code is unique over all partners, because a referral link names no partner. It is disabled, never
deleted: orders keep their attribution.
"""

import re
import uuid
from collections.abc import Collection
from typing import Final

import asyncpg
import msgspec

from swapdesk.db import Tx, queries

Q = queries(__package__, "codes.sql")

#: Contract A5.9.
CODE: Final = re.compile(r"[A-Za-z0-9_-]{4,32}")
LABEL_CHARS_MAX: Final = 64
#: Most codes an operator may grant one partner.
MOST_MAX: Final = 1_000
#: Most codes one list shows.
LIST_MAX: Final = 100


class Code(msgspec.Struct, frozen=True):
    """One reference code."""

    id: uuid.UUID
    partner_id: uuid.UUID
    code: str
    label: str | None  #: for the partner's eyes only
    markup_bps: int  #: 0: the partner's own applies
    enabled: bool
    created_ms: int


async def places(tx: Tx, partner_id: uuid.UUID) -> int:
    """How many more codes a partner may have; locks the partner. Disabled codes count."""
    most = await tx.fetchval(Q.lock_partner, partner_id)
    return int(most) - int(await tx.fetchval(Q.count, partner_id))


async def most(tx: Tx, name: str) -> tuple[uuid.UUID, int] | None:
    """A partner by his name, and how many codes he may have; None when there is none."""
    row = await tx.fetchrow(Q.most, name)
    return (row["id"], row["codes_max"]) if row else None


async def set_most(tx: Tx, name: str, count: int) -> bool:
    """Change how many codes a partner may have; False when there is none of this name."""
    return await tx.fetchval(Q.set_most, name, count) is not None


async def insert(tx: Tx, new: Code) -> bool:
    """Write a code; False when it is taken, whoever has it."""
    made = await tx.fetchval(
        Q.insert, new.id, new.partner_id, new.code, new.label, new.markup_bps, new.created_ms
    )
    return made is not None


async def of_partner(tx: Tx, partner_id: uuid.UUID) -> list[Code]:
    """A partner's codes, newest first, at most LIST_MAX."""
    return [_of(row) for row in await tx.fetch(Q.of_partner, partner_id, LIST_MAX)]


async def switch(tx: Tx, partner_id: uuid.UUID, code: str, *, enabled: bool) -> Code | None:
    """Switch a partner's code on or off; the code after it, None when he has no such code."""
    row = await tx.fetchrow(Q.switch, partner_id, code, enabled)
    return _of(row) if row else None


async def find(tx: Tx, code: str) -> Code | None:
    """A code that counts now, by its name alone: enabled, of an enabled partner."""
    row = await tx.fetchrow(Q.find, code)
    return _of(row) if row else None


async def markup_of(tx: Tx, partner_id: uuid.UUID, code_id: uuid.UUID) -> int | None:
    """The markup that a code brings now, in basis points; None when it does not count any more."""
    markup_bps: int | None = await tx.fetchval(Q.by_id, code_id, partner_id)
    return markup_bps


async def find_all(
    tx: Tx, wanted: Collection[tuple[uuid.UUID, str]]
) -> dict[tuple[uuid.UUID, str], Code]:
    """(partner, code) -> the enabled code of that partner; the others are left out."""
    rows = await tx.fetch(Q.find_all, [p for p, _ in wanted], [c for _, c in wanted])
    return {(row["partner_id"], row["code"]): _of(row) for row in rows}


def _of(row: asyncpg.Record) -> Code:
    return Code(**dict(row))
