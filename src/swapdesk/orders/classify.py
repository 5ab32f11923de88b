"""What the facts mean: pure. Always judged on the full picture, never on the last event alone."""

from collections.abc import Iterable
from typing import Final

import msgspec

from swapdesk.orders.states import OPEN, Cause, State


class Arrival(msgspec.Struct, frozen=True):
    """One deposit of the order's own asset, as known now."""

    units: int
    final: bool
    gone: bool  #: neither in the chain nor in the mempool at the moment
    first_seen_ms: int


class Facts(msgspec.Struct, frozen=True):
    """Everything that decides where an order goes without anybody choosing."""

    final_units: int  #: sum of final deposits above dust
    pending_units: int  #: sum of deposits on their way, above dust
    in_time: bool  #: the first of the final deposits was seen before the window closed
    window_closed: bool  #: time is up *and* the watcher has seen everything up to then
    min_units: int
    max_units: int


def gather(
    arrivals: Iterable[Arrival],
    *,
    dust_units: int,
    min_units: int,
    max_units: int,
    window_ends_ms: int,
    synced_ms: int,
) -> Facts:
    """Facts from deposits. `synced_ms`: the watcher has seen the chain and mempool up to then.

    Outputs below `dust_units` do not count. The window is closed only once the watcher has looked
    *after* its end: a desk whose watcher was down does not expire orders it cannot judge.
    """
    counted = [a for a in arrivals if a.units >= dust_units and not a.gone]
    final = [a for a in counted if a.final]
    return Facts(
        final_units=sum(a.units for a in final),
        pending_units=sum(a.units for a in counted if not a.final),
        in_time=any(a.first_seen_ms <= window_ends_ms for a in final),
        window_closed=synced_ms > window_ends_ms,
        min_units=min_units,
        max_units=max_units,
    )


#: Reasons to hold that are the customer's own; what else there is, only the operator may decide.
PARTNERS_REASONS: Final = frozenset({"LIMIT", "EXPIRED"})


def hold_reasons(state: State, facts: Facts) -> tuple[str, ...]:
    """Why final money cannot simply be exchanged; empty when it can."""
    reasons = []
    if not facts.min_units <= facts.final_units <= facts.max_units:
        reasons.append("LIMIT")
    if not facts.in_time or state is State.EXPIRED:
        reasons.append("EXPIRED")
    return tuple(reasons)


def classify(state: State, facts: Facts) -> Cause | None:
    """The cause that `facts` amount to for an order in `state`; None: nothing to do.

    Money that is still on its way is waited for while what is final is too little or late.
    """
    if state is State.EXPIRED:
        return Cause.DEPOSIT_ODD if facts.final_units else None
    if state not in OPEN:
        return None
    if facts.final_units:
        return _final(state, facts)
    if facts.pending_units:
        return Cause.DEPOSIT_SEEN if state is State.WAITING else None
    if facts.window_closed:
        return Cause.WINDOW_CLOSED
    return Cause.DEPOSIT_LOST if state is State.CONFIRMING else None


def _final(state: State, facts: Facts) -> Cause | None:
    """Money is here; enough of it, or is more on its way?"""
    if not hold_reasons(state, facts):
        return Cause.DEPOSIT_GOOD
    if facts.pending_units and facts.final_units < facts.min_units:
        return Cause.DEPOSIT_SEEN if state is State.WAITING else None
    return Cause.DEPOSIT_ODD
