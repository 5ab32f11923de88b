"""A partner's client in every way to sign, written from the documents and with no library of ours.

Used by tests as the other side: what it makes must be let in, what is changed afterwards must not.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Lines = Sequence[tuple[bytes, bytes]]

USUAL: Final = ("@method", "@target-uri", "content-digest", "x-api-key", "x-api-nonce")
DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512, "md5": hashlib.md5}


def hmac_hex(secret: str, message: bytes) -> str:
    """X-API-SIGN of a body, or X-API-SIGN-V2 of a whole call."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def v2_text(
    method: str, target: str, nonce: str, idempotency_key: str, api_key: str, body: bytes
) -> bytes:
    """What X-API-SIGN-V2 signs."""
    return f"{method}\n{target}\n{nonce}\n{idempotency_key}\n{api_key}\n".encode() + body


def rfc9421_headers(
    key: Ed25519PrivateKey,
    method: str,
    origin: str,
    target: bytes,
    fields: Lines,
    body: bytes,
    *,
    key_id: str,
    created: int | None,
    covered: Sequence[str] | None = None,
    expires: int | None = None,
    alg: str | None = None,
    digest: str = "sha-256",
    label: str = "sig1",
) -> list[tuple[bytes, bytes]]:
    """Content-Digest, Signature-Input and Signature for a request with `fields`."""
    told = f"{digest}=:{base64.b64encode(DIGESTS[digest](body).digest()).decode()}:"
    sent = {name.decode(): value.decode() for name, value in fields} | {"content-digest": told}
    if covered is None:
        covered = USUAL + (("idempotency-key",) if "idempotency-key" in sent else ())
    path, _, query = target.decode().partition("?")
    derived: Mapping[str, str] = {
        "@method": method, "@target-uri": origin + target.decode(), "@path": path,
        "@query": "?" + query, "@authority": origin.partition("://")[2],
    }  # fmt: skip
    params = "(" + " ".join(f'"{name}"' for name in covered) + ")"
    params += "" if created is None else f";created={created}"
    params += f';keyid="{key_id}"'
    params += "" if expires is None else f";expires={expires}"
    params += "" if alg is None else f';alg="{alg}"'
    lines = [f'"{name}": {derived[name] if name in derived else sent[name]}' for name in covered]
    text = "\n".join([*lines, f'"@signature-params": {params}'])
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return [
        (b"content-digest", told.encode()),
        (b"signature-input", f"{label}={params}".encode()),
        (b"signature", f"{label}=:{signature}:".encode()),
    ]
