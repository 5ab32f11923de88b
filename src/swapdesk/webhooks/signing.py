"""Two signatures of one delivery: the contract's own, and Standard Webhooks' Ed25519. Pure.

The contract's covers the body only (A10), so its time-stamp is not authenticated (E5). The second
covers id, time and body, and can be checked by whoever has the partner's *public* key.
"""

import base64
import hmac
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PRIVATE_KEY_BYTES: Final = 32
#: How Standard Webhooks marks the base64 of an Ed25519 public key.
PUBLIC_PREFIX: Final = "whpk_"


def signature(secret: str, body: bytes) -> str:
    """Lower-case hex HMAC-SHA256 over the body; the key is the secret's text as issued."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def standard_signature(
    keys: Iterable[bytes], delivery_id: str, at_seconds: int, body: bytes
) -> str:
    """`webhook-signature`: one `v1a,<base64>` over `id.time.body` per private key, newest first."""
    message = f"{delivery_id}.{at_seconds}.".encode() + body
    return " ".join(
        "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(key).sign(message)).decode()
        for key in keys
    )


def public_key(private: bytes) -> bytes:
    """The 32 public bytes of a private key."""
    key = Ed25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def show_public_key(public: bytes) -> str:
    """A public key as partners get it: "whpk_" and base64."""
    return PUBLIC_PREFIX + base64.b64encode(public).decode()
