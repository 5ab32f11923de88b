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

WINDOW_MS: Final = 60_000
DAY_MS: Final = 86_400_000
#: Calls a minute from one address, and from all strangers together per process.
PER_ADDRESS_MAX: Final = 60
ALL_MAX: Final = 6_000
#: Neighbours in one IPv6 network of this size share a budget: one customer owns all of it.
_IPV6_PREFIX: Final = 64
#: What leads an IPv4 address that is written as IPv6 (RFC 4291).
_MAPPED: Final = bytes(10) + b"\xff\xff"
_MAPPED_BYTES: Final = len(_MAPPED)


class PublicBucket:
    """A sliding minute per address, and one over all."""

    def __init__(
        self, world: World, *, per_address: int = PER_ADDRESS_MAX, everybody: int = ALL_MAX
    ) -> None:
        self._world = world
        self._per_address = per_address
        self._everybody = everybody
        self._day = -1
        self._key = b""
        self._all: deque[tuple[int, bytes]] = deque()
        self._mine: dict[bytes, deque[int]] = {}

    def take(self, address: str) -> None:
        """Count one call. Refused RATE_LIMIT with seconds to wait; a refused call is not counted."""
        now = self._world.now()
        if now // DAY_MS != self._day:
            self._day, self._key = now // DAY_MS, self._world.bytes(32)
        self._forget(now)
        name = hashlib.blake2b(_network(address), key=self._key, digest_size=16).digest()
        mine = self._mine.get(name)
        if mine is not None and len(mine) >= self._per_address:
            raise _wait(mine[0], now)
        if len(self._all) >= self._everybody:
            raise _wait(self._all[0][0], now)
        self._all.append((now, name))
        self._mine.setdefault(name, deque()).append(now)

    def _forget(self, now: int) -> None:
        """Drop what has left the window; memory is bounded by the ceiling over all."""
        while self._all and self._all[0][0] <= now - WINDOW_MS:
            _, name = self._all.popleft()
            mine = self._mine[name]
            mine.popleft()
            if not mine:
                del self._mine[name]


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


def _wait(oldest_ms: int, now: int) -> Refused:
    return Refused(No.RATE_LIMIT, retry_after_seconds=ceil_div(oldest_ms + WINDOW_MS - now, 1000))
