"""What a signature covers, and whether it is right. Pure: bytes and an instant in, yes or no out.

    v1       X-API-SIGN:    hex HMAC-SHA256(secret, body)                      contract A3
    v2       X-API-SIGN-V2: hex HMAC-SHA256(secret, v2_message(...))           additive
    rfc9421  Signature-Input, Signature: Ed25519 over components of the message, with
             Content-Digest (RFC 9530)                                         additive

Nothing here stops early because of who the caller is: an unknown key is checked against one of
nobody, with the same work. docs/partner/signing.md says all of this to partners.
"""

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from swapdesk.partners.secrets import SigningKey

#: How old a signature may be, and how far a caller's clock may be ahead of ours. Together less
#: than nonces are remembered, so that what RFC 9421 signed is never let in twice.
AGE_SECONDS_MAX: Final = 300
AHEAD_SECONDS_MAX: Final = 30
#: Longest Signature-Input and Signature that are looked at. A real one has about 250 characters.
FIELD_CHARS_MAX: Final = 1_024

#: What every signature must cover; and one of two ways to name the target.
COVERED: Final = ("@method", "content-digest", "x-api-key", "x-api-nonce")
TARGETS: Final = (frozenset({'"@target-uri"'}), frozenset({'"@path"', '"@query"'}))
PARAMS: Final = '"@signature-params"'
IDEMPOTENCY_KEY: Final = b"idempotency-key"

_HEX: Final = re.compile(rb"[0-9A-Fa-f]{64}")


class Request(msgspec.Struct, frozen=True):
    """One HTTP request as it stood on the wire."""

    method: str
    target: bytes  #: path and query, not decoded; an empty query is none
    origin: str  #: scheme://authority, no slash at the end
    fields: Sequence[tuple[bytes, bytes]]  #: every header line in order, names in lower case
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """The values of every line of one header."""
        return [value for known, value in self.fields if known == name]


def signs_v1(key: SigningKey, body: bytes, told: bytes) -> bool:
    """Whether `told` is the hex signature of a body. Upper case is let in (contract D7)."""
    return hmac.compare_digest(key.sign(body), _unhex(told))


def signs_v2(
    key: SigningKey, request: Request, api_key: bytes, nonce: bytes, told: bytes, sign: bytes
) -> bool:
    """Whether `told` is the signature of the whole call and `sign`, beside it, that of its body.

    Both in lower-case hex and in no other way, so that no changed bit is let in.
    `api_key` and `nonce`: the header values as they came, a code suffix included. A header that is
    there but empty, or there twice, is never right: it could be mistaken for an absent one.
    """
    lines = request.values(IDEMPOTENCY_KEY)
    message = v2_message(
        request.method.encode(), request.target, nonce, lines[0] if lines else b"", api_key,
        request.body,
    )  # fmt: skip
    plain = lines != [b""] and len(lines) <= 1 and message is not None
    whole = hmac.compare_digest(key.sign(message or b"").hex().encode(), told)
    inner = hmac.compare_digest(key.sign(request.body).hex().encode(), sign)
    return whole and inner and plain


def v2_message(
    method: bytes, target: bytes, nonce: bytes, idempotency_key: bytes, api_key: bytes, body: bytes
) -> bytes | None:
    """What X-API-SIGN-V2 signs: five lines, each ended by one line feed, and then the body.

    An absent Idempotency-Key is an empty line. None when a part contains a line feed, which no
    HTTP request can carry.
    """
    head = b"\n".join((method, target, nonce, idempotency_key, api_key))
    return None if head.count(b"\n") != 4 else head + b"\n" + body  # noqa: PLR2004 - five parts


def signs_rfc9421(key: Ed25519PublicKey, key_id: str, request: Request, now_s: int) -> bool:
    """Whether the one signature of `request` is `key`'s, fresh, and covers all that matters.

    Covered must be COVERED, the target in one of its two forms, and Idempotency-Key where it is
    sent; `keyid` must be `key_id`; Content-Digest must be the body's, also of an empty one. Both
    headers must be written in the one canonical way (RFC 9651), so that no changed bit is let in.
    """
    inputs, told = request.values(b"signature-input"), request.values(b"signature")
    if len(inputs) != 1 or len(told) != 1 or len(inputs[0] + told[0]) > 2 * FIELD_CHARS_MAX:
        return False
    required = [*COVERED]
    if request.values(IDEMPOTENCY_KEY):
        required.append(IDEMPOTENCY_KEY.decode())
    keys = MappingKeyResolver(public_keys={key_id: key}, private_keys={})
    try:
        (result,) = _Verifier(keys, now_s).verify(
            _Message(request),
            max_age=timedelta(seconds=AGE_SECONDS_MAX),
            require_components=required,
            body=request.body,
        )
    except Exception:  # noqa: BLE001 - a parser of hostile text; whatever it trips over is no signature
        return False
    covered = result.covered_components
    written = f"{result.label}={covered[PARAMS]}".encode()
    return (
        inputs[0] == written
        and _is_canonical(told[0])
        and any(target <= covered.keys() for target in TARGETS)
    )


def _is_canonical(signature: bytes) -> bool:
    """Whether this is the one way to write these bytes: base64 has bits that mean nothing."""
    text = signature.partition(b"=")[2].strip(b":")
    return base64.b64encode(base64.b64decode(text)) == text


class _Verifier(HTTPMessageVerifier):
    """Of Ed25519 signatures, at an instant that is given instead of the system's."""

    def __init__(self, keys: MappingKeyResolver, now_s: int) -> None:
        super().__init__(signature_algorithm=ED25519, key_resolver=keys)
        self._now_s = now_s

    def validate_created_and_expires(
        self, sig_input: Any, max_age: timedelta | None = None
    ) -> None:
        """Both are integers already. `created` is required, `expires` counts where it is told."""
        created = sig_input.params.get("created")
        expires = sig_input.params.get("expires", self._now_s)
        if created is None or max_age is None or expires < self._now_s:
            raise InvalidSignature("created is missing, or expires has passed")
        if not -AHEAD_SECONDS_MAX <= self._now_s - created <= max_age.total_seconds():
            raise InvalidSignature("created too long ago, or in the future")


class _Message:
    """A request in the shape that the library reads."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.url = request.origin + request.target.decode("latin-1")
        self.headers = _Lines((name, value) for name, value in request.fields)


class _Lines:
    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]

    def items(self) -> list[tuple[str, str]]:
        """Every line."""
        return self._lines


def _unhex(told: bytes) -> bytes:
    """The bytes of a signature; none when it is not one, which equals nothing."""
    return bytes.fromhex(told.decode()) if _HEX.fullmatch(told) else b""
