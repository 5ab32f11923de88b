"""Letting signed calls in: nonces are burnt, weights are charged, in one statement for many.

Only a call that may change something waits until its nonce is on disk (`Caller.lasting`). A use
case that writes or reads rows anyway takes its callers along (`admit_all` first); the others call
`admit`.
"""

from collections.abc import Sequence

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import store as partners
from swapdesk.partners.limits import retry_after_seconds
from swapdesk.partners.partner import Caller, Holder, StaleHolder


async def find_holder(desk: Desk, api_key: str) -> Holder | None:
    """Who holds an api key, as committed now; None for an unknown or revoked one."""
    return await desk.gather(_find_holders, atomic=False).ask(api_key)


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
    await desk.gather(_admit, atomic=False).ask(caller)


async def _admit(desk: Desk, tx: Tx, callers: Sequence[Caller]) -> list[Exception | None]:
    return await admit_all(desk, tx, callers)


async def admit_all(desk: Desk, tx: Tx, callers: Sequence[Caller | None]) -> list[Exception | None]:
    """For each caller None, or the exception that `admit` raises. Nobody (None) is let in."""
    known = [(place, caller) for place, caller in enumerate(callers) if caller is not None]
    verdicts: list[Exception | None] = [None] * len(callers)
    if known:
        now = desk.world.now()
        for stopped in await partners.admit(tx, [caller for _, caller in known], now):
            place, caller = known[stopped.call - 1]
            verdicts[place] = _why(stopped, caller.weight, now)
    return verdicts


def _why(stopped: partners.Stopped, weight: int, now_ms: int) -> Exception:
    if stopped.verdict == "stale":
        return StaleHolder()
    if stopped.verdict == "replay":
        return Refused(No.AUTH_INVALID, "replayed nonce")
    assert stopped.cap is not None
    assert stopped.taken is not None
    buckets = dict(zip(stopped.seconds or (), stopped.charged or (), strict=True))
    buckets[now_ms // 1000] = buckets.get(now_ms // 1000, 0) + stopped.taken
    wait = retry_after_seconds(buckets, now_ms, stopped.cap, weight)
    return Refused(No.RATE_LIMIT, retry_after_seconds=wait)
