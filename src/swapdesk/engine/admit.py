"""Letting signed calls in: nonces are burnt, weights are charged, in one transaction for many.

A use case that writes or reads rows anyway takes its callers along (`admit_all` first); the others
call `admit`.
"""

import uuid
from collections.abc import Sequence

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import store as partners
from swapdesk.partners.limits import Budget
from swapdesk.partners.partner import Caller, Holder, StaleHolder


async def find_holder(desk: Desk, api_key: str) -> Holder | None:
    """Who holds an api key, as committed now; None for an unknown or revoked one."""
    return await desk.gather(_find_holders).ask(api_key)


async def _find_holders(_desk: Desk, tx: Tx, api_keys: Sequence[str]) -> list[Holder | None]:
    known = await partners.holders(tx, api_keys)
    return [known.get(api_key) for api_key in api_keys]


async def admit(desk: Desk, caller: Caller) -> None:
    """Burn the nonce and charge the weight of a caller whose signature verified.

    Refused AUTH_INVALID when the nonce was used; RATE_LIMIT with seconds to wait when the minute's
    budget does not hold the weight: then the nonce stays burnt and nothing is charged. StaleHolder
    when his rows have changed. Calls of one partner are charged one after the other, in every
    process.
    """
    await desk.gather(_admit).ask(caller)


async def _admit(desk: Desk, tx: Tx, callers: Sequence[Caller]) -> list[Exception | None]:
    return await admit_all(desk, tx, callers)


async def admit_all(desk: Desk, tx: Tx, callers: Sequence[Caller | None]) -> list[Exception | None]:
    """For each caller None, or the exception that `admit` raises. Nobody (None) is let in."""
    known = [caller for caller in callers if caller is not None]
    if not known:
        return [None for _ in callers]
    gates = await partners.lock(tx, {caller.holder.credential_id for caller in known})
    now = desk.world.now()
    valid = [caller for caller in known if _is_fresh(caller.holder, gates)]
    burnt = await partners.burn_nonces(tx, {(c.partner_id, c.nonce) for c in valid}, now)
    charged = await partners.charges(tx, {caller.partner_id for caller in valid}, now)
    budgets: dict[uuid.UUID, Budget] = {}
    for caller in valid:
        if caller.partner_id not in budgets:
            cap = gates[caller.holder.credential_id].weight_per_minute
            budgets[caller.partner_id] = Budget(cap, charged[caller.partner_id], now)

    def judge(caller: Caller | None) -> Exception | None:
        if caller is None:
            return None
        if not _is_fresh(caller.holder, gates):
            return StaleHolder()
        nonce = (caller.partner_id, caller.nonce)
        if nonce not in burnt:
            return Refused(No.AUTH_INVALID, "replayed nonce")
        burnt.remove(nonce)  # a second one in this batch is a replay
        wait = budgets[caller.partner_id].take(caller.weight)
        return None if wait is None else Refused(No.RATE_LIMIT, retry_after_seconds=wait)

    verdicts = [judge(caller) for caller in callers]
    weights = {who: budget.taken for who, budget in budgets.items() if budget.taken}
    if weights:
        await partners.charge(tx, weights, now)
    return verdicts


def _is_fresh(holder: Holder, gates: dict[uuid.UUID, partners.Gate]) -> bool:
    gate = gates.get(holder.credential_id)
    return gate is not None and gate.rows == holder.rows
