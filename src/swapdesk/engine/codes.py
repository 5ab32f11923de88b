"""Reference codes: making, listing, switching, and what a caller's code means now."""

import unicodedata
import uuid
from collections.abc import Sequence

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import codes
from swapdesk.partners.codes import CODE, LABEL_CHARS_MAX, Code
from swapdesk.pricing import MARKUP_BPS_MAX


async def create_code(
    desk: Desk, partner_id: uuid.UUID, code: str, *, label: str | None = None, markup_bps: int = 0
) -> Code:
    """A new code, enabled. A blank label is none; markup 0 means the partner's own.

    Refused INVALID (form), TAKEN when the code exists, whoever has it, or the partner has as many
    as he may have, disabled ones included.
    """
    label = (label or "").strip() or None
    if not CODE.fullmatch(code) or not 0 <= markup_bps <= MARKUP_BPS_MAX:
        raise Refused(No.INVALID, "a code is 4 to 32 of A-Z a-z 0-9 _ -, its markup 0 to 2000")
    if label is not None and (len(label) > LABEL_CHARS_MAX or not _writable(label)):
        raise Refused(No.INVALID, f"a label has at most {LABEL_CHARS_MAX} characters")
    made = Code(
        id=desk.world.uuid(), partner_id=partner_id, code=code, label=label,
        markup_bps=markup_bps, enabled=True, created_ms=desk.world.now(),
    )  # fmt: skip
    async with desk.db.transaction() as tx:
        if await codes.places(tx, partner_id) <= 0:
            raise Refused(No.TAKEN, "the partner has as many codes as he may have")
        if not await codes.insert(tx, made):
            raise Refused(No.TAKEN, "there is such a code already")
    return made


async def list_codes(desk: Desk, partner_id: uuid.UUID) -> list[Code]:
    """A partner's codes, enabled and disabled, newest first."""
    async with desk.db.transaction() as tx:
        return await codes.of_partner(tx, partner_id)


async def partners_codes(
    desk: Desk, name: str, *, most: int | None = None
) -> tuple[list[Code], int]:
    """A partner's codes for the operator, newest first, and how many he may have.

    `most` changes that; codes he has already stay. Refused INVALID, NOT_FOUND.
    """
    if most is not None and not 0 <= most <= codes.MOST_MAX:
        raise Refused(No.INVALID, f"a partner may have 0 to {codes.MOST_MAX} codes")
    async with desk.db.transaction() as tx:
        if most is not None:
            await codes.set_most(tx, name, most)
        known = await codes.most(tx, name)
        if known is None:
            raise Refused(No.NOT_FOUND, f"there is no partner named {name!r}")
        partner_id, allowed = known
        return await codes.of_partner(tx, partner_id), allowed


async def switch_code(desk: Desk, partner_id: uuid.UUID, code: str, *, enabled: bool) -> Code:
    """Switch a code on or off; repeats change nothing. Refused NOT_FOUND, foreign codes alike."""
    known = None
    if CODE.fullmatch(code):
        async with desk.db.transaction() as tx:
            known = await codes.switch(tx, partner_id, code, enabled=enabled)
    if known is None:
        raise Refused(No.NOT_FOUND, "no such code")
    return known


async def own_code(desk: Desk, partner_id: uuid.UUID, code: str) -> Code | None:
    """A caller's code as it stands now; None for one that is unknown, foreign or disabled."""
    if not CODE.fullmatch(code):
        return None
    return await desk.gather(_own_codes).ask((partner_id, code))


async def _own_codes(
    _desk: Desk, tx: Tx, wanted: Sequence[tuple[uuid.UUID, str]]
) -> list[Code | None]:
    known = await codes.find_all(tx, set(wanted))
    return [known.get(key) for key in wanted]


async def referring_code(desk: Desk, code: str) -> Code | None:
    """The code of a referral link; None unless it and its partner are enabled."""
    if not CODE.fullmatch(code):
        return None
    async with desk.db.pool.acquire() as connection:
        return await codes.find(connection, code)


def _writable(text: str) -> bool:
    """Neither control characters nor halves of surrogate pairs: PostgreSQL takes no NUL."""
    return all(unicodedata.category(char) not in {"Cc", "Cs"} for char in text)
