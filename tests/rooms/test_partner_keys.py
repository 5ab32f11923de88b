"""`swapdesk partner key` and `rules`: what they print, what they keep to themselves, how they refuse."""

import base64
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from swapdesk.partners.credential import parse_public_key
from tests.rooms.test_console import Console, console  # noqa: F401 - a fixture

anyio = pytest.mark.anyio

KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW: Final = KEY.public_key().public_bytes_raw()
PEM: Final = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_public_key_in_every_spelling() -> None:
    """PEM, hex in both cases, base64 in both alphabets, padded or not."""
    plain, safe = base64.b64encode(RAW).decode(), base64.urlsafe_b64encode(RAW).decode()
    for text in (PEM, RAW.hex(), RAW.hex().upper(), plain, plain.rstrip("="), safe, f" {plain}\n"):
        assert parse_public_key(text) == RAW


def test_what_is_no_public_key() -> None:
    """Another curve, another length, a private key by mistake: refused, and never repeated back."""
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    other = generate_private_key(SECP256R1()).public_key()
    curve = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in ("", "x", RAW.hex()[:-2], RAW.hex() + "00", private, curve, PEM[:40], "A" * 401):
        with pytest.raises(ValueError, match=r"key") as wrong:
            parse_public_key(text)
        assert not text or text not in str(wrong.value) or len(text) == 1


@anyio
async def test_keys_from_first_to_last(console: Console, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    """Added with a secret, with a public key, with an end; listed without secrets; revoked."""
    first = (await console.json("partner", "create", "blue"))["api_key"]
    made = await console.json("partner", "key", "add", "blue", "--label", "2027", "--life", "90d")
    assert len(made["api_secret"]) == 43
    (tmp_path / "public.pem").write_text(PEM)
    strong = await console.json(
        "partner", "key", "add", "blue", "--public-key", str(tmp_path / "public.pem"),
        "--scope", "read", "--scope", "trade",
    )  # fmt: skip
    assert strong["api_secret"] is None
    listed = await console.json("partner", "key", "list", "blue")
    assert [key["api_key"] for key in listed] == [first, made["api_key"], strong["api_key"]]
    assert [key["kind"] for key in listed] == ["secret", "secret", "ed25519"]
    assert [key["scopes"] for key in listed][1:] == [["admin", "read", "trade"], ["read", "trade"]]
    assert (listed[0]["expires_ms"], listed[0]["label"]) == (None, "")
    assert listed[1]["expires_ms"] - listed[1]["created_ms"] == 90 * 86_400_000
    assert made["api_secret"] not in await console.ok("partner", "key", "list", "blue")
    assert "never" in await console.ok("partner", "key", "expire", made["api_key"], "--never")
    await console.ok("partner", "key", "expire", first, "--in", "24h")
    await console.ok("partner", "key", "scope", first, "read")
    await console.ok("partner", "key", "revoke", made["api_key"])
    listed = await console.json("partner", "key", "list", "blue")
    assert [key["enabled"] for key in listed] == [True, False, True]
    assert [key["expires_ms"] is None for key in listed] == [False, True, True]
    assert listed[0]["scopes"] == ["read"]


@anyio
async def test_rules_are_shown_and_changed(console: Console) -> None:  # noqa: F811 - the fixture
    """Shown without options; each option changes one; networks are written in full."""
    await console.ok("partner", "create", "blue")
    assert "anywhere" in await console.ok("partner", "rules", "blue")
    told = await console.json(
        "partner", "rules", "blue", "--allow", "203.0.113.7", "--allow", "2001:db8::/32"
    )
    assert told == {
        "partner": "blue", "signing": "v1", "networks": ["203.0.113.7/32", "2001:db8::/32"],
    }  # fmt: skip
    told = await console.json("partner", "rules", "blue", "--signing", "v2")
    assert (told["signing"], len(told["networks"])) == ("v2", 2)
    assert await console.json("partner", "rules", "blue") == told
    told = await console.json("partner", "rules", "blue", "--anywhere")
    assert (told["signing"], told["networks"]) == ("v2", [])


@anyio
@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        ("key add nobody", 1, "there is no partner 'nobody'"),
        ("key add blue --life 1y", 2, "90d, 12h, 30m"),
        ("key add blue --life 999999d", 1, "ten years"),
        ("key add blue --scope all", 2, "read, trade or admin"),
        ("key add blue --public-key nonsense", 2, "PEM, 64 hex digits"),
        ("key revoke nothing", 1, "no such live key"),
        ("key expire nothing", 2, "--in or --never"),
        ("key expire nothing --in 1h", 1, "no such live key"),
        ("rules blue --signing v3", 2, "v1, v2 or rfc9421"),
        ("rules blue --signing rfc9421", 1, "no Ed25519 key yet"),
        ("rules blue --allow 10.0.0.1/8", 2, "not an address or a network"),
        ("rules blue --allow 10.0.0.0/8 --anywhere", 2, "--allow or --anywhere"),
    ],
)
async def test_refusals_say_why(
    console: Console,  # noqa: F811 - the fixture
    words: str,
    status: int,
    why: str,
) -> None:
    """One line on stderr; 1 for the desk's no, 2 for a command that makes no sense."""
    await console.ok("partner", "create", "blue")
    result = await console.run("partner", *words.split())
    assert (result.exit_code, result.stderr.count("\n")) == (status, 1)
    assert why in result.stderr
