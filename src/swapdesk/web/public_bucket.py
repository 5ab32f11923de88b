"""How often strangers may ask: per address and all together, in memory only, without addresses.

An address is known by a keyed hash whose key lives for a day and only in this process (contract
D39). The address itself is never stored or logged.
"""

import hashlib
import socket
from collections import deque
from typing import Final

from swapdesk.errors import No, Refused
from swapdesk.money import ceil_div
from swapdesk.world import World

WINDOW_SECONDS: Final = 60
DAY_SECONDS: Final = 86_400
#: Calls a minute from one address, and from all strangers together per process.
PER_ADDRESS_MAX: Final = 60
ALL_MAX: Final = 6_000
#: Neighbours in one IPv6 network of this size share a budget: one customer owns all of it.
_IPV6_PREFIX: Final = 64
#: What leads an IPv4 address that is written as IPv6 (RFC 4291).
_MAPPED: Final = bytes(10) + b"\xff\xff"
_MAPPED_BYTES: Final = len(_MAPPED)


class PublicBucket:
    """A sliding minute per address, and one over all, counted by the second.

    A call counts for the 60 seconds from the second it came in, as partners' weights do.
    """

    def __init__(
        self, world: World, *, per_address: int = PER_ADDRESS_MAX, everybody: int = ALL_MAX
    ) -> None:
        self._world = world
        self._per_address = per_address
        self._everybody = everybody
        self._day = -1
        self._key = b""
        self._all: deque[tuple[int, dict[bytes, int]]] = deque()  #: second -> calls by name
        self._mine: dict[bytes, int] = {}  #: calls by name in the whole window
        self._sum = 0

    def take(self, address: str) -> None:
        """Count one call. Refused RATE_LIMIT with seconds to wait; a refused call is not counted."""
        now = self._world.now()
        second = now // 1000
        if not self._all or self._all[-1][0] != second:
            self._turn(second)
        name = hashlib.blake2b(_network(address), key=self._key, digest_size=16).digest()
        mine = self._mine.get(name, 0)
        if mine >= self._per_address:
            raise _wait(next(s for s, calls in self._all if name in calls), now)
        if self._sum >= self._everybody:
            raise _wait(next(s for s, calls in self._all if calls), now)
        self._mine[name] = mine + 1
        self._sum += 1
        calls = self._all[-1][1]
        calls[name] = calls.get(name, 0) + 1

    def _turn(self, second: int) -> None:
        """A new second: drop what has left the window. Memory is bounded by the ceiling over all."""
        if second // DAY_SECONDS != self._day:
            self._day, self._key = second // DAY_SECONDS, self._world.bytes(32)
        while self._all and self._all[0][0] <= second - WINDOW_SECONDS:
            for name, count in self._all.popleft()[1].items():
                self._sum -= count
                self._mine[name] -= count
                if not self._mine[name]:
                    del self._mine[name]
        self._all.append((second, {}))


def _network(address: str) -> bytes:
    """What counts as one caller: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        return socket.inet_pton(socket.AF_INET, address)
    except OSError:
        pass
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return b""
    head, tail = packed[:_MAPPED_BYTES], packed[_MAPPED_BYTES:]
    return tail if head == _MAPPED else packed[: _IPV6_PREFIX // 8]


def _wait(oldest_second: int, now: int) -> Refused:
    wait_ms = (oldest_second + WINDOW_SECONDS) * 1000 - now
    return Refused(No.RATE_LIMIT, retry_after_seconds=ceil_div(wait_ms, 1000))
