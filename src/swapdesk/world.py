"""Time, chance and the world a site lives in. Everything else is handed these.

A site has exactly one world: `main`, `test` or `dev`. Networks of different worlds are never
configured together; simulated chains, fixed rates and development seeds exist only in `dev`.
"""

import base64
import enum
import secrets
import time
import uuid
from typing import Protocol


class Kind(enum.StrEnum):
    """Which world a site lives in."""

    MAIN = "main"
    TEST = "test"
    DEV = "dev"


class World(Protocol):
    """The only source of time and chance."""

    def now(self) -> int:
        """The current instant in milliseconds since 1970, UTC."""
        ...

    def token(self, size: int) -> str:
        """`size` unguessable bytes as base64url without padding."""
        ...

    def bytes(self, size: int) -> bytes:
        """`size` unguessable bytes, for nonces and keys."""
        ...

    def uuid(self) -> uuid.UUID:
        """A fresh UUIDv7: ordered by time, unguessable in its lower 74 bits."""
        ...


class RealWorld:
    """The operating system's clock and randomness."""

    def now(self) -> int:
        """See World.now."""
        return time.time_ns() // 1_000_000

    def token(self, size: int) -> str:
        """See World.token."""
        return base64.urlsafe_b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()

    def bytes(self, size: int) -> bytes:
        """See World.bytes."""
        return secrets.token_bytes(size)

    def uuid(self) -> uuid.UUID:
        """See World.uuid."""
        return uuid7(self.now(), secrets.token_bytes(10))


def uuid7(at_ms: int, entropy: bytes) -> uuid.UUID:
    """UUIDv7 (RFC 9562 5.7) of a time in milliseconds and ten bytes of chance."""
    rand = int.from_bytes(entropy[:10])
    value = (at_ms & (2**48 - 1)) << 80 | 0x7 << 76 | (rand >> 62 & 0xFFF) << 64
    return uuid.UUID(int=value | 0b10 << 62 | rand & (2**62 - 1))
