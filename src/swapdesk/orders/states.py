"""The table: where an order can be, what can happen to it, and where that leads.

Nothing else moves an order. The same mapping fills `allowed_move` in the database, draws
`docs/states.md` and is walked by an exhaustive test (tests/pure/test_states.py).
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class State(enum.Enum):
    """Where an order stands."""

    WAITING = "WAITING"  #: for a deposit
    CONFIRMING = "CONFIRMING"  #: a deposit is seen, not yet final
    HELD = "HELD"  #: money is here and somebody must decide
    PAYING = "PAYING"  #: the vault is asked to pay
    PAID = "PAID"  #: the payout is broadcast
    DONE = "DONE"  #: the payout is final
    REFUNDING = "REFUNDING"  #: the refund is decided
    REFUNDED = "REFUNDED"  #: the refund is final
    EXPIRED = "EXPIRED"  #: the window closed without money


class Cause(enum.Enum):
    """What happened."""

    DEPOSIT_SEEN = "DEPOSIT_SEEN"  #: money is on its way
    DEPOSIT_LOST = "DEPOSIT_LOST"  #: all of it vanished again
    DEPOSIT_GOOD = "DEPOSIT_GOOD"  #: final, in time and within the bounds
    DEPOSIT_ODD = "DEPOSIT_ODD"  #: final, but late or outside the bounds
    WINDOW_CLOSED = "WINDOW_CLOSED"  #: time is up and nothing is on its way
    CHOSE_EXCHANGE = "CHOSE_EXCHANGE"  #: go on at the live rate
    CHOSE_REFUND = "CHOSE_REFUND"  #: send it back
    PAYOUT_SENT = "PAYOUT_SENT"  #: the payout was broadcast
    PAYOUT_FINAL = "PAYOUT_FINAL"  #: the payout is confirmed at depth
    PAYOUT_REFUSED = "PAYOUT_REFUSED"  #: the vault signed nothing and will not
    PAYOUT_VOID = "PAYOUT_VOID"  #: at depth the chain shows that the payout can never be made
    REFUND_FINAL = "REFUND_FINAL"  #: the refund is confirmed at depth
    REFUND_REFUSED = "REFUND_REFUSED"  #: the refund was refused or is void; an operator asks again


S, C = State, Cause

MOVES: Final[Mapping[tuple[State, Cause], State]] = MappingProxyType(
    {
        (S.WAITING, C.DEPOSIT_SEEN): S.CONFIRMING,
        (S.WAITING, C.DEPOSIT_GOOD): S.PAYING,  # the watcher was down and woke up late
        (S.WAITING, C.DEPOSIT_ODD): S.HELD,
        (S.WAITING, C.WINDOW_CLOSED): S.EXPIRED,
        (S.CONFIRMING, C.DEPOSIT_LOST): S.WAITING,
        (S.CONFIRMING, C.DEPOSIT_GOOD): S.PAYING,
        (S.CONFIRMING, C.DEPOSIT_ODD): S.HELD,
        (S.CONFIRMING, C.WINDOW_CLOSED): S.EXPIRED,  # it vanished after the window closed
        (S.EXPIRED, C.DEPOSIT_ODD): S.HELD,  # late money is never lost money
        (S.HELD, C.CHOSE_EXCHANGE): S.PAYING,
        (S.HELD, C.CHOSE_REFUND): S.REFUNDING,
        (S.PAYING, C.PAYOUT_SENT): S.PAID,
        (S.PAYING, C.PAYOUT_FINAL): S.DONE,  # the report of the broadcast was lost
        (S.PAYING, C.PAYOUT_REFUSED): S.HELD,
        (S.PAYING, C.PAYOUT_VOID): S.HELD,
        (S.PAID, C.PAYOUT_FINAL): S.DONE,
        (S.PAID, C.PAYOUT_VOID): S.HELD,
        (S.REFUNDING, C.REFUND_FINAL): S.REFUNDED,
        # Once a refund is decided nothing leads back to a payout: it is asked for again.
        (S.REFUNDING, C.REFUND_REFUSED): S.REFUNDING,
        (S.REFUNDING, C.CHOSE_REFUND): S.REFUNDING,
        # Money that came after the end goes back when the operator says so.
        (S.DONE, C.CHOSE_REFUND): S.REFUNDING,
        (S.REFUNDED, C.CHOSE_REFUND): S.REFUNDING,
    }
)

#: No timer and no message is expected here; only new money or the operator moves these.
FINISHED: Final = frozenset({S.DONE, S.REFUNDED, S.EXPIRED})
#: Here an order waits for what its customer's money does.
OPEN: Final = frozenset({S.WAITING, S.CONFIRMING})


def next_state(state: State, cause: Cause) -> State | None:
    """The state that follows, or None: the cause does not apply (a stale or repeated event)."""
    return MOVES.get((state, cause))
