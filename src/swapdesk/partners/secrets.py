"""Secrets of partners: sealed in the database, opened only in memory.

The sealing key lies outside the database, in a file of mode 0600 with one `key-id:base64url` per
line. The first line seals; every line opens, so a key is rotated by putting a new line on top and
sealing again. What is sealed names its own key, table, row and column (AAD): a blob copied to
another row does not open.
"""

import base64
import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swapdesk.world import World

KEY_BYTES: Final = 32
GCM_NONCE_BYTES: Final = 12
KEY_ID_CHARS_MAX: Final = 32
#: First byte of a blob; another layout would take another number.
LAYOUT: Final = 1
#: Opened secrets one process keeps. A partner has one; more only cost opening them again.
OPENED_MAX: Final = 10_000
#: Block size of SHA-256, and the two pads of HMAC (RFC 2104).
_BLOCK: Final = 64
_IPAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OPAD: Final = bytes(byte ^ 0x5C for byte in range(256))


class Unsealable(Exception):
    """The blob does not open: another key, another row, or damage. Never says more."""


class Place(msgspec.Struct, frozen=True):
    """Where a sealed secret lies. It opens there and nowhere else."""

    table: str
    row: str
    column: str

    def aad(self, key_id: str) -> bytes:
        """What AES-GCM authenticates besides the secret."""
        return f"{self.table}|{self.row}|{self.column}|{key_id}".encode()


class Sealer:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys`: id -> 32 bytes, newest first. ValueError if empty or malformed."""
        if not keys:
            raise ValueError("no sealing key")
        for key_id, key in keys.items():
            if not (0 < len(key_id) <= KEY_ID_CHARS_MAX and key_id.isascii()):
                raise ValueError("a sealing key's id is 1 to 32 ASCII characters")
            if len(key) != KEY_BYTES:
                raise ValueError(f"sealing key {key_id!r} is not {KEY_BYTES} bytes long")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        self._oldest = list(keys.values())[-1]

    def seal(self, world: World, place: Place, secret: str) -> bytes:
        """The blob for the database."""
        key_id, nonce = self._current, world.bytes(GCM_NONCE_BYTES)
        box = self._ciphers[key_id].encrypt(nonce, secret.encode(), place.aad(key_id))
        return bytes([LAYOUT, len(key_id)]) + key_id.encode() + nonce + box

    def open(self, place: Place, blob: bytes) -> str:
        """The secret again. Unsealable if the blob is not from this place or its key is gone."""
        try:
            layout, size = blob[0], blob[1]
            key_id = blob[2 : 2 + size].decode()
            nonce, box = blob[2 + size :][:GCM_NONCE_BYTES], blob[2 + size + GCM_NONCE_BYTES :]
            if layout != LAYOUT:
                raise Unsealable
            return self._ciphers[key_id].decrypt(nonce, box, place.aad(key_id)).decode()
        except (InvalidTag, IndexError, KeyError, ValueError) as wrong:
            raise Unsealable from wrong

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for hashing, from the *oldest* key, so that rotation keeps it."""
        return hmac.digest(self._oldest, b"swapdesk-derived|" + purpose.encode(), "sha256")


def make_key_file(path: Path, world: World) -> None:
    """Create a file with one fresh key. FileExistsError if there is one: never overwritten."""
    key = base64.urlsafe_b64encode(world.bytes(KEY_BYTES)).decode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"k{world.now()}:{key}\n")


def read_key_file(path: Path) -> Sealer:
    """A sealer from a key file. ValueError if others may read it or a line is malformed."""
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} must be readable by its owner only (chmod 600)")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        key_id, _, text = line.strip().partition(":")
        try:
            key = base64.b64decode(text, altchars=b"-_", validate=True)
        except ValueError:
            raise ValueError(f"{path}: line {number} is not key-id:base64url") from None
        if key_id in keys:
            raise ValueError(f"{path}: line {number} repeats a key id")
        keys[key_id] = key
    return Sealer(keys)


class SigningKey:
    """HMAC-SHA256 with the two pads hashed ahead: a quarter of the time of `hmac.digest`."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(
            _BLOCK, b"\0"
        )
        self._inner = hashlib.sha256(block.translate(_IPAD))
        self._outer = hashlib.sha256(block.translate(_OPAD))

    def sign(self, message: bytes) -> bytes:
        """The 32 bytes of HMAC-SHA256 over `message`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class SigningKeys:
    """Opened request-signing keys of one process, by credential and version. Bounded."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: OrderedDict[tuple[str, int], SigningKey] = OrderedDict()

    def get(self, credential_id: str, version: int, sealed: bytes) -> SigningKey:
        """The key of a credential; opened once per version. Unsealable passes through."""
        name = (credential_id, version)
        key = self._opened.get(name)
        if key is None:
            place = Place("credential", credential_id, "secret_sealed")
            key = self._opened[name] = SigningKey(self._sealer.open(place, sealed).encode())
            if len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
        return key
