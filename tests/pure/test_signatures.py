"""What each signature covers, byte for byte, and the vector of RFC 9421."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from swapdesk.partners.secrets import SigningKey
from swapdesk.web.signatures import (
    AGE_SECONDS_MAX,
    AHEAD_SECONDS_MAX,
    FIELD_CHARS_MAX,
    Request,
    signs_rfc9421,
    signs_v1,
    signs_v2,
    v2_message,
)
from tests.signing import rfc9421_headers

NOW: Final = 1_800_000_000
BODY: Final = b'{"type":"float"}'
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SECRET: Final = SigningKey(b"test-secret")


def test_v2_signs_these_bytes() -> None:
    """Five lines and the body, as docs/partner/signing.md writes them; absent is an empty line."""
    message = v2_message(
        b"POST", b"/api/v1/create?x=1", b"n" * 16, b"order-0001", b"key.desktop", BODY
    )
    assert message == (
        b"POST\n/api/v1/create?x=1\nnnnnnnnnnnnnnnnn\norder-0001\nkey.desktop\n" + BODY
    )
    assert v2_message(b"GET", b"/api/v1/codes", b"n" * 16, b"", b"key", b"") == (
        b"GET\n/api/v1/codes\nnnnnnnnnnnnnnnnn\n\nkey\n"
    )


@pytest.mark.parametrize("part", range(5))
def test_v2_parts_cannot_flow_into_each_other(part: int) -> None:
    """A line feed in any part signs nothing at all."""
    parts = [b"POST", b"/p", b"n" * 16, b"order-0001", b"key"]
    parts[part] += b"\n"
    method, target, nonce, idempotency_key, api_key = parts
    assert v2_message(method, target, nonce, idempotency_key, api_key, BODY) is None


def test_v2_knows_an_empty_header_from_an_absent_one() -> None:
    """Adding an empty Idempotency-Key, or a second one, to a signed call is noticed."""
    message = v2_message(b"POST", b"/p", b"n" * 16, b"", b"key", BODY)
    assert message is not None
    told, plain = SECRET.sign(message).hex().encode(), SECRET.sign(BODY).hex().encode()
    request = Request("POST", b"/p", "https://desk.example", [], BODY)
    assert signs_v2(SECRET, request, b"key", b"n" * 16, told, plain)
    for lines in ([b""], [b"", b""], [b"order-0001"]):
        fields = [(b"idempotency-key", value) for value in lines]
        again = msgspec.structs.replace(request, fields=fields)
        assert not signs_v2(SECRET, again, b"key", b"n" * 16, told, plain)


def test_v2_comes_beside_v1_and_in_lower_case() -> None:
    """Both must be right, and written in one way: no changed bit is let in."""
    message = v2_message(b"POST", b"/p", b"n" * 16, b"", b"key", BODY)
    assert message is not None
    told, plain = SECRET.sign(message).hex().encode(), SECRET.sign(BODY).hex().encode()
    request = Request("POST", b"/p", "https://desk.example", [], BODY)
    for whole, inner in ((told, b""), (told, told), (b"", plain), (plain, plain),
                         (told.upper(), plain), (told, plain.upper()), (told[:-1], plain)):  # fmt: skip
        assert not signs_v2(SECRET, request, b"key", b"n" * 16, whole, inner)


def test_v1_signs_the_body_only() -> None:
    """Upper-case hex is let in; other lengths and other alphabets equal nothing."""
    told = hmac.new(b"test-secret", BODY, hashlib.sha256).hexdigest().encode()
    assert signs_v1(SECRET, BODY, told)
    assert signs_v1(SECRET, BODY, told.upper())
    for wrong in (b"", told[:-1], told + b"0", b"0x" + told[2:], b"g" * 64, told + b"\n"):
        assert not signs_v1(SECRET, BODY, wrong)


# RFC 9421, B.1.4 and B.2.6.
B14_PUBLIC: Final = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
B14_PRIVATE: Final = base64.b64decode("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")
B26_HEADERS: Final = {
    "Host": "example.com",
    "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "Content-Type": "application/json",
    "Content-Digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrI"
    "iYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    "Content-Length": "18",
}
B26_INPUT: Final = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)
B26_SIGNATURE: Final = (
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1"
    "u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
)


@dataclass
class Message:
    """A request as the library wants it."""

    method: str
    url: str
    headers: dict[str, str]


def test_the_vector_of_the_rfc() -> None:
    """B.2.6: the library that our doors use makes the very bytes of the RFC with the RFC's key."""
    key = Ed25519PrivateKey.from_private_bytes(B14_PRIVATE)
    assert load_pem_public_key(B14_PUBLIC) == key.public_key()
    message = Message("POST", "https://example.com/foo?param=Value&Pet=dog", dict(B26_HEADERS))
    keys = MappingKeyResolver(public_keys={}, private_keys={"test-key-ed25519": key})
    signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=keys)
    prepared = signer.prepare(
        message,
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1618884473, UTC),
        label="sig-b26",
        include_alg=False,
        use_existing_digest=True,
        covered_component_ids=(
            "date", "@method", "@path", "@authority", "content-type", "content-length",
        ),
    )  # fmt: skip
    signature = key.sign(prepared.signature_base)
    signer.apply(message, prepared, signature)
    assert message.headers["Signature-Input"] == B26_INPUT
    assert message.headers["Signature"] == B26_SIGNATURE


def signed(
    *,
    target: bytes = b"/api/v1/create",
    body: bytes = BODY,
    extra: tuple[tuple[bytes, bytes], ...] = (),
    **how: Any,
) -> Request:
    """A request that our own reference client signs; tests/signing.py knows no library."""
    fields = [(b"x-api-key", b"the-key.desktop"), (b"x-api-nonce", b"n" * 16), *extra]
    fields += rfc9421_headers(
        KEY, "POST", "https://desk.example", target, fields, body,
        **{"key_id": "the-key", "created": NOW, **how},
    )  # fmt: skip
    return Request("POST", target, "https://desk.example", fields, body)


def lets_in(request: Request, now: int = NOW, key_id: str = "the-key") -> bool:
    """Whether the doors would believe it."""
    return signs_rfc9421(KEY.public_key(), key_id, request, now)


@pytest.mark.parametrize(
    "covered",
    [
        ("@method", "@target-uri", "content-digest", "x-api-key", "x-api-nonce"),
        ("x-api-nonce", "@path", "content-digest", "@query", "x-api-key", "@method", "@authority"),
    ],
)
@pytest.mark.parametrize("target", [b"/api/v1/create", b"/api/v1/events?after=7"])
@pytest.mark.parametrize("body", [b"", BODY])
def test_what_rfc9421_must_cover(covered: tuple[str, ...], target: bytes, body: bytes) -> None:
    """Both ways to name the target, any order, more than asked; each missing one is refused."""
    assert lets_in(signed(covered=covered, target=target, body=body))
    for missing in set(covered) - {"@authority"}:
        left = tuple(each for each in covered if each != missing)
        assert not lets_in(signed(covered=left, target=target, body=body)), missing


def test_an_idempotency_key_must_be_covered_where_it_is_sent() -> None:
    """Otherwise it could be added or swapped on the way."""
    extra = ((b"idempotency-key", b"order-0001"),)
    usual = ("@method", "@target-uri", "content-digest", "x-api-key", "x-api-nonce")
    assert lets_in(signed(extra=extra, covered=(*usual, "idempotency-key")))
    assert not lets_in(signed(extra=extra, covered=usual))
    bare = signed(covered=usual)
    added = msgspec.structs.replace(bare, fields=[*bare.fields, *extra])
    assert not lets_in(added)


def test_a_signature_lives_for_five_minutes() -> None:
    """From `created` for 300 s, `expires` if that is earlier; a clock may be 30 s ahead."""
    assert AGE_SECONDS_MAX == 300
    for age, good in ((-31, False), (-AHEAD_SECONDS_MAX, True), (300, True), (301, False)):
        assert lets_in(signed(), now=NOW + age) is good, age
    assert lets_in(signed(expires=NOW + 10), now=NOW + 10)
    assert not lets_in(signed(expires=NOW + 10), now=NOW + 11)
    assert not lets_in(signed(created=None))


def test_whose_signature_it_is() -> None:
    """`keyid` is the api key; another key's signature, algorithm or parameter is refused."""
    assert lets_in(signed(alg="ed25519"))
    assert not lets_in(signed(alg="hmac-sha256"))
    assert not lets_in(signed(key_id="another-key"))
    assert not lets_in(signed(), key_id="another-key")
    assert not signs_rfc9421(Ed25519PrivateKey.generate().public_key(), "the-key", signed(), NOW)


def _change(request: Request, name: bytes, value: bytes | None) -> Request:
    fields = [(n, v) for n, v in request.fields if n != name]
    return msgspec.structs.replace(
        request, fields=fields if value is None else [*fields, (name, value)]
    )


def test_malformed_is_refused() -> None:
    """No, empty, long, doubled or broken headers, and every flipped bit of the good ones."""
    good = signed()
    for name in (b"signature", b"signature-input", b"content-digest"):
        (value,) = good.values(name)
        for wrong in (None, b"", b"\xff", b"sig1", value + b"x", value * 2, value + b", " + value):
            assert not lets_in(_change(good, name, wrong)), (name, wrong)
        for bit in range(len(value) * 8):
            broken = bytearray(value)
            broken[bit // 8] ^= 1 << bit % 8
            told = lets_in(_change(good, name, bytes(broken)))
            # the label is not signed, but it must be the same in both
            assert not told, (name, bit, bytes(broken))
    padded = b"x" * (2 * FIELD_CHARS_MAX)
    assert not lets_in(_change(good, b"signature-input", padded))


def test_the_digest_is_the_bodys() -> None:
    """SHA-256 or SHA-512 of the very body; MD5, or another's digest, is refused."""
    assert lets_in(signed(digest="sha-512"))
    assert not lets_in(signed(digest="md5"))
    assert not lets_in(msgspec.structs.replace(signed(), body=BODY + b" "))


def test_another_target_origin_or_method_is_refused() -> None:
    """What was signed for one endpoint, host or method is worth nothing on another."""
    good = signed()
    for change in (
        {"target": b"/api/v1/order"}, {"target": b"/api/v1/create?"}, {"target": b"/api/v1/creat%65"},
        {"origin": "https://other.example"}, {"origin": "http://desk.example"}, {"method": "DELETE"},
    ):  # fmt: skip
        assert not lets_in(msgspec.structs.replace(good, **change)), change
