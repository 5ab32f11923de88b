"""Whose customer somebody is: what a referral link set, looked at again when he orders."""

import uuid

import msgspec

from swapdesk.engine.desk import Desk
from swapdesk.partners import codes


class Attribution(msgspec.Struct, frozen=True):
    """The partner and code that an order is opened for, as `OrderAsk` wants them."""

    partner_id: uuid.UUID
    code_id: uuid.UUID
    markup_bps: int  #: the code's own, or its partner's


async def attribution(desk: Desk, partner_id: uuid.UUID, code_id: uuid.UUID) -> Attribution | None:
    """What a visitor was once attributed to, if partner and code are both still enabled."""
    async with desk.db.pool.acquire() as connection:
        markup_bps = await codes.markup_of(connection, partner_id, code_id)
    return None if markup_bps is None else Attribution(partner_id, code_id, markup_bps)
