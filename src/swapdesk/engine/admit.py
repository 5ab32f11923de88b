"""Letting a signed request in: its nonce is burnt, its weight is charged, in one transaction."""

from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import store as partners
from swapdesk.partners.limits import retry_after_seconds
from swapdesk.partners.partner import Caller, Holder


async def find_holder(desk: Desk, api_key: str) -> Holder | None:
    """Who holds an api key, in one query; None for an unknown or revoked one."""
    async with desk.db.pool.acquire() as connection:
        return await partners.holder(connection, api_key)


async def admit(desk: Desk, caller: Caller, nonce: str, weight: int) -> None:
    """Burn `nonce` and charge `weight`, after the signature verified.

    Refused AUTH_INVALID when the nonce was used; RATE_LIMIT with seconds to wait when the minute's
    budget does not hold `weight`: then the nonce stays burnt and nothing is charged. Concurrent
    requests of one partner are charged one after the other, in every process.
    """
    async with desk.db.transaction() as tx:
        now = desk.world.now()
        budget = await partners.burn_nonce(tx, caller.partner_id, nonce, now)
        if budget is None:
            raise Refused(No.AUTH_INVALID, "replayed nonce")
        charged = await partners.charges(tx, caller.partner_id, now)
        wait = retry_after_seconds(charged, now, budget, weight)
        if wait is None:
            await partners.charge(tx, caller.partner_id, now, weight)
    if wait is not None:
        raise Refused(No.RATE_LIMIT, retry_after_seconds=wait)
