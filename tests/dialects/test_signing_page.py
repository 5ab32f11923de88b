"""docs/partner/signing.md: its programs run, its vectors are right, its tables are the code's."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from swapdesk.engine.credential_admin import add_key, set_rules
from swapdesk.partners.credential import LIVE_KEYS_MAX, Signing
from swapdesk.partners.secrets import SigningKey
from swapdesk.web import signatures
from tests.http_site import Site, site_on
from tests.postgres import Dsns
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

PAGE: Final = (Path(__file__).parents[2] / "docs/partner/signing.md").read_text()
PROGRAMS: Final = re.findall(r"```(bash|python|javascript)\n(.*?)```", PAGE, re.DOTALL)
RUN: Final = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}
DEADLINE_SECONDS: Final = 60


def test_vectors() -> None:
    """Each row of the v2 table is what our own doors compute."""
    rows = re.findall(
        r"\| `(\w+) (\S+)`, nonce `(\w+)`(?:, idempotency key `([\w-]+)`)?, key `([\w.]+)`, "
        r"(?:body `(.+)`|no body) \| `(\w{64})` \|",
        PAGE,
    )
    assert len(rows) == 3
    for *parts, body, told in rows:
        method, path, nonce, idempotency_key, key = (part.encode() for part in parts)
        message = signatures.v2_message(method, path, nonce, idempotency_key, key, body.encode())
        assert message is not None
        assert SigningKey(b"test-secret").sign(message).hex() == told


def test_numbers() -> None:
    """What the page says of time and number is what the code does."""
    assert f"at most {signatures.AGE_SECONDS_MAX} s ago" in PAGE
    assert f"and {signatures.AHEAD_SECONDS_MAX} s ahead" in PAGE
    assert LIVE_KEYS_MAX == 10
    assert "up to ten live keys" in PAGE
    for component in signatures.COVERED:
        assert f"`{component}`" in PAGE


@pytest.mark.anyio
async def test_programs(desk_dsns: Dsns, tmp_path: Path) -> None:
    """Every program of the page runs as it stands, against a live desk that requires its strength."""
    async with site_on(desk_dsns.app, now=time.time_ns() // 1_000_000) as site:
        await _run_programs(site, tmp_path)


async def _run_programs(site: Site, tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "private.pem").write_bytes(pem)
    raw = private.public_key().public_bytes_raw()
    made = await add_key(site.rig.desk, site.sealer, partner="partner", public_key=raw)
    env = os.environ | {
        "SWAPDESK_URL": site.public,
        "SWAPDESK_API_KEY": site.partner.api_key,
        "SWAPDESK_API_SECRET": site.partner.api_secret,
        "SWAPDESK_ED25519_API_KEY": made.api_key,
        "SWAPDESK_ED25519_KEY": str(tmp_path / "private.pem"),
        "DEMO_TRON_ADDRESS": TRON_ADDRESS,
        "DEMO_BTC_ADDRESS": BTC_ADDRESS,
    }
    assert [language for language, _ in PROGRAMS] == ["bash", "python", "javascript"] * 2
    for signing, programs in ((Signing.V2, PROGRAMS[:3]), (Signing.RFC9421, PROGRAMS[3:])):
        await set_rules(site.rig.desk, "partner", signing=signing)
        for language, program in programs:
            done = await asyncio.to_thread(
                subprocess.run, [*RUN[language], program], env=env, capture_output=True,
                text=True, timeout=DEADLINE_SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (signing, language, done.stderr)
            assert re.match(r'{"code": ?0,', done.stdout), (signing, language, done.stdout)
