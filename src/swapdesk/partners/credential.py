"""Credentials: what an api key may do, how its calls are signed, and for how long it lives.

A partner has several: each its own api key with either a shared secret (v1, v2) or the public half
of an Ed25519 key (rfc9421). All of it is the partner's choice; a new partner's only key may do
everything, signs plainly and never expires, which is the contract's own rule.
"""

import base64
import enum
import ipaddress
import re
import uuid
from typing import Final, TypeAlias

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Keys of one partner that live at a time, and networks its calls may come from.
LIVE_KEYS_MAX: Final = 10
NETWORKS_MAX: Final = 64
LABEL_CHARS_MAX: Final = 64
PUBLIC_KEY_BYTES: Final = 32
PUBLIC_KEY_CHARS_MAX: Final = 400


class Signing(enum.IntEnum):
    """How a call is signed, the weakest first. A partner may refuse what is weaker than it likes."""

    V1 = 1  #: HMAC of the body and nothing else (contract A3)
    V2 = 2  #: HMAC of method, path, nonce, idempotency key, key header and body
    RFC9421 = 3  #: Ed25519 over components of the message; the desk holds no secret


class Scope(enum.StrEnum):
    """What a key may be used for. Every endpoint belongs to one."""

    READ = "read"  #: catalogue, prices, the partner's own orders and events
    TRADE = "trade"  #: opening orders and deciding about them
    ADMIN = "admin"  #: secrets and reference codes


ALL_SCOPES: Final = frozenset(Scope)


class Key(msgspec.Struct, frozen=True):
    """One credential as the operator sees it. No secret is in here."""

    api_key: str
    label: str
    kind: str  #: "secret" or "ed25519"
    scopes: tuple[Scope, ...]
    enabled: bool  #: False: revoked, for good
    expires_ms: int | None
    created_ms: int


class NewCredential(msgspec.Struct, frozen=True):
    """A credential to be written: either a sealed secret or a public key."""

    id: uuid.UUID
    partner_id: uuid.UUID
    api_key: str
    secret_sealed: bytes | None
    public_key: bytes | None
    label: str
    scopes: tuple[Scope, ...]
    expires_ms: int | None
    created_ms: int


class NewKey(msgspec.Struct, frozen=True):
    """What a partner is given for a new key; the secret in clear, this once."""

    api_key: str
    api_secret: str | None  #: None: the partner keeps the private half of its own key

    def __repr__(self) -> str:
        """Never the secret, even in a log of everything."""
        return f"NewKey(api_key={self.api_key!r})"


def parse_public_key(text: str) -> bytes:
    """The 32 bytes of an Ed25519 public key given as PEM, hex or base64. ValueError otherwise."""
    text = text.strip()
    if len(text) > PUBLIC_KEY_CHARS_MAX:
        raise ValueError("that is too long for an Ed25519 public key")
    if "PRIVATE" in text:
        raise ValueError("that is a private key: keep it, and give the public one")
    if text.startswith("-----"):
        try:
            known = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("the PEM block is not a public key") from None
        if not isinstance(known, Ed25519PublicKey):
            raise ValueError("the PEM block is not an Ed25519 key")
        return known.public_bytes_raw()
    try:
        raw = bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]{64}", text) else _base64(text)
    except ValueError:
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise ValueError("an Ed25519 public key is PEM, 64 hex digits, or base64 of 32 bytes")
    return raw


def _base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def parse_network(text: str) -> Network:
    """An address or a network in CIDR notation. ValueError names what is wrong with it."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as wrong:
        raise ValueError(f"{text!r} is not an address or a network: {wrong}") from wrong


def comes_from(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether `address` lies in one of `networks`; always when there are none.

    An IPv4 address counts as itself also when it arrives mapped into IPv6. What is no address lies
    nowhere.
    """
    if not networks:
        return True
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        known = known.ipv4_mapped or known
    return any(known in network for network in networks)
