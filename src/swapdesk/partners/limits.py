"""The weight budget: pure. A sliding minute over per-second buckets.

A charge counts for the 60 seconds from the second it was made in (contract A7).
"""

from collections.abc import Mapping
from typing import Final

from swapdesk.money import ceil_div

#: Length of the window, and the default budget per partner in it.
WINDOW_SECONDS: Final = 60
WEIGHT_PER_MINUTE: Final = 2_500


def oldest_second(now_ms: int) -> int:
    """The first second whose charges still count at `now_ms`."""
    return now_ms // 1000 - WINDOW_SECONDS + 1


def retry_after_seconds(
    buckets: Mapping[int, int], now_ms: int, cap: int, weight: int
) -> int | None:
    """None: there is room for `weight`. Else whole seconds, rounded up, until there will be.

    `buckets`: second -> weight charged in it. A request heavier than the whole cap never fits and
    is told to wait for a full window.
    """
    if weight > cap:
        return WINDOW_SECONDS
    live = sorted((s, w) for s, w in buckets.items() if s >= oldest_second(now_ms))
    excess = sum(w for _, w in live) + weight - cap
    for second, charged in live:
        if excess <= 0:
            break
        excess -= charged
        if excess <= 0:
            return ceil_div((second + WINDOW_SECONDS) * 1000 - now_ms, 1000)
    return None
