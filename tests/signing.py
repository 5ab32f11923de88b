"""A partner's client in every way to sign, written from the documents and with no library of ours.

Used by tests as the other side: what it makes must be let in, what is changed afterwards must not.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import ASGIApp, Message, Scope

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


class Wire(msgspec.Struct):
    """One HTTP request on its way: whoever holds it may change anything."""

    method: str
    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    query: bytes = b""
    again: dict[bytes, bytes] = {}  #: a second line of these headers


class Signer(msgspec.Struct, frozen=True):
    """One key of a partner and its way to sign."""

    api_key: str
    secret: str | Ed25519PrivateKey
    strong: bool = True  #: with a secret: v2 beside v1

    def sign(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        nonce: str,
        idempotency_key: str | None = None,
        code: str | None = None,
        created: int = 0,
        origin: str = "http://desk.example",
    ) -> Wire:
        """A call as this partner's client sends it. `created`: seconds since 1970."""
        key = self.api_key if code is None else f"{self.api_key}.{code}"
        headers = {b"x-api-key": key.encode(), b"x-api-nonce": nonce.encode()}
        if idempotency_key is not None:
            headers[b"idempotency-key"] = idempotency_key.encode()
        bare, _, query = path.partition("?")
        if isinstance(self.secret, str):
            headers[b"x-api-sign"] = hmac_hex(self.secret, body).encode()
            if self.strong:
                text = v2_text(method, path, nonce, idempotency_key or "", key, body)
                headers[b"x-api-sign-v2"] = hmac_hex(self.secret, text).encode()
        else:
            headers |= rfc9421_headers(
                self.secret, method, origin, path.encode(), [*headers.items()], body,
                key_id=self.api_key, created=created,
            )  # fmt: skip
        headers[b"host"] = origin.partition("://")[2].encode()
        return Wire(method, bare.encode(), headers, body, query.encode())


async def send(app: ASGIApp, wire: Wire, *, peer: str = "203.0.113.7") -> tuple[int, bytes]:
    """Status and body of the real application's answer, without a socket."""
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": wire.method, "path": unquote_to_bytes(wire.path).decode("latin-1"),
        "raw_path": wire.path, "query_string": wire.query, "root_path": "",
        "headers": [*wire.headers.items(), *wire.again.items()], "client": (peer, 4711),
        "server": ("desk.example", 80),
    }  # fmt: skip
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": wire.body, "more_body": False}

    async def answer(message: Message) -> None:
        told.append(message)

    await app(scope, receive, answer)
    return told[0]["status"], b"".join(message["body"] for message in told[1:])
