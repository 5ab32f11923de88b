"""What a wire has been told: pure. A status never recurs, because receivers dedupe on it.

An order keeps the statuses told so far, in order. The word for its state is told only if it was
not told before and does not lead back; otherwise the wire keeps showing the last one.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from swapdesk.orders.states import State

#: The words of the signed v1 family (contract A9). DONE is told at broadcast; a decided refund is
#: EXPIRED and `back.tx.id` tells.
SIGNED_V1: Final[Mapping[State, str]] = MappingProxyType(
    {
        State.WAITING: "NEW",
        State.CONFIRMING: "PENDING",
        State.HELD: "EMERGENCY",
        State.PAYING: "EXCHANGE",
        State.PAID: "DONE",
        State.DONE: "DONE",
        State.REFUNDING: "EXPIRED",
        State.REFUNDED: "EXPIRED",
        State.EXPIRED: "EXPIRED",
    }
)

#: How far each word is. A word is never followed by one that is less far.
_RANK: Final[Mapping[str, int]] = MappingProxyType(
    {"NEW": 0, "PENDING": 1, "EMERGENCY": 2, "EXCHANGE": 3, "DONE": 4, "EXPIRED": 4}
)
#: The named exception (design 6): late money on an expired order is told once.
_EXCEPTION: Final = ("EXPIRED", "EMERGENCY")


def next_shown(shown: tuple[str, ...], state: State) -> tuple[str, ...]:
    """The statuses told after an order came to `state`; unchanged when there is nothing new."""
    word = SIGNED_V1[state]
    if word in shown:
        return shown
    if shown and shown[-1] == "DONE":
        return shown  # a wire that heard of success hears of nothing else
    if shown and _RANK[word] <= _RANK[shown[-1]] and (shown[-1], word) != _EXCEPTION:
        return shown
    return (*shown, word)
