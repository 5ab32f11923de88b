"""What the signed v1 documentation shows, replayed: its bash example and its sample answer.

`transcripts/` holds both as clients know them. Only host, keys and addresses are put in their place.
"""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.http_site import Site
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

pytestmark = pytest.mark.anyio

HERE: Final = Path(__file__).parent / "transcripts"
EXAMPLE: Final = (HERE / "create.sh").read_text()
SAMPLE: Final = (HERE / "create.json").read_text()
#: Its lines, in this order; what stands for values of the caller is all that a test may replace.
PLACEHOLDERS: Final = (
    "rWqZ...Rg", "G1JV...n4", "TXyz...your-recipient-address", "bc1q...your-refund-address",
    "https://desk.example",
)  # fmt: skip


async def _bash(script: str) -> Any:
    """What the script prints, as JSON. It gets nothing but PATH."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, wrong = await process.communicate()
    assert (process.returncode, wrong) == (0, b"")
    return json.loads(out)


def _filled(site: Site, **changes: str) -> str:
    """The example with this site's values; `changes` stand for other lines a reader would edit."""
    values = (
        site.partner.api_key, site.partner.api_secret, TRON_ADDRESS, BTC_ADDRESS, site.public
    )  # fmt: skip
    script = EXAMPLE
    for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
        assert placeholder in script
        script = script.replace(placeholder, value)
    for name, value in changes.items():
        script, count = re.subn(f"^{name}=.*$", f"{name}={value}", script, flags=re.MULTILINE)
        assert count == 1
    return script


def _kinds(value: Any) -> Any:
    """Names and JSON types, in order."""
    if isinstance(value, dict):
        return [(name, _kinds(each)) for name, each in value.items()]
    return type(value).__name__


async def test_the_bash_example_opens_an_order(site: Site) -> None:
    """With host, keys and addresses replaced it runs as it is, and answers like the sample."""
    told, sample = await _bash(_filled(site)), json.loads(SAMPLE)
    assert _kinds(told) == _kinds(sample)
    data, shown = told["data"], sample["data"]
    for name in ("type", "status", "emergency", "markupBps"):
        assert data[name] == shown[name]
    for side in ("from", "to"):
        assert [data[side][name] for name in ("code", "network", "tx")] == [
            shown[side][name] for name in ("code", "network", "tx")
        ]
    assert data["from"]["amount"] == shown["from"]["amount"]
    assert (data["to"]["address"], data["back"]["address"]) == (TRON_ADDRESS, BTC_ADDRESS)
    window = shown["time"]["expiration"] - shown["time"]["reg"]
    assert (data["time"]["left"], data["time"]["expiration"] - data["time"]["reg"]) == (window,) * 2
    assert len(data["token"]) == 43
    order = await site.data("order", {"id": data["id"], "token": data["token"]})
    assert order == {name: value for name, value in data.items() if name != "token"}


async def test_the_same_key_repeats_the_order(site: Site) -> None:
    """Same key and body: the same id and no token. Another body: code 1."""
    once = _filled(site, IDEMP="a-key-of-mine")
    first, again = await _bash(once), await _bash(once)
    assert (again["data"]["id"], again["data"]["token"]) == (first["data"]["id"], None)
    other = await _bash(once.replace('"amount":"0.01"', '"amount":"0.02"'))
    assert other == {"code": 1, "msg": "INVALID_REQUEST"}


@pytest.mark.parametrize(
    ("changes", "code", "msg"),
    [
        ({"IDEMP": "short"}, 1, "INVALID_REQUEST"),
        ({"SIGN": '""'}, 2, "AUTH_REQUIRED"),
        ({"SIGN": "$(openssl rand -hex 32)"}, 3, "AUTH_INVALID"),
        ({"NONCE": "too-short"}, 3, "AUTH_INVALID"),
        ({"APIKEY": "nobody-has-this-key"}, 3, "AUTH_INVALID"),
        ({"APISECRET": "another-secret"}, 3, "AUTH_INVALID"),
    ],
)
async def test_the_example_gone_wrong(
    site: Site, changes: dict[str, str], code: int, msg: str
) -> None:
    """What the page's error table says of it."""
    assert await _bash(_filled(site, **changes)) == {"code": code, "msg": msg}


@pytest.mark.parametrize(
    ("amount", "code", "msg"), [("0.0001", 7, "LIMIT_MIN"), ("1", 8, "LIMIT_MAX")]
)
async def test_the_example_beyond_its_limits(site: Site, amount: str, code: int, msg: str) -> None:
    """The value of an order is bounded by what `price` says."""
    script = _filled(site).replace('"amount":"0.01"', f'"amount":"{amount}"')
    assert await _bash(script) == {"code": code, "msg": msg}
