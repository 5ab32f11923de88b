"""docs/partner/webhooks.md: its programs receive live deliveries, its examples are what we send."""

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from swapdesk.engine.event_log import number_events
from swapdesk.engine.webhook_admin import set_webhook
from swapdesk.engine.webhook_keys import public_keys
from swapdesk.webhooks import events, outbox
from swapdesk.webhooks.deliver import TOTAL_SECONDS
from swapdesk.webhooks.signing import show_public_key
from swapdesk.world import RealWorld
from tests.http_site import site_on
from tests.postgres import Dsns
from tests.rooms.webhook_site import Post, post_on, receiving

pytestmark = pytest.mark.anyio

PAGE: Final = (Path(__file__).parents[2] / "docs/partner/webhooks.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PYTHON: Final = [text for language, text in BLOCKS if language == "python"]
NODE: Final = [text for language, text in BLOCKS if language == "js"]
DEADLINE_SECONDS: Final = 30
PAID: Final = events.PaidOut(
    1_778_661_731_000, 1_775_001_600_000, 1_777_593_600_000, 1_234_560_000_000_000, "4a5e1e4b"
)


def program(language: str) -> list[str]:
    """The receiver of the page in one language, as a command."""
    return {"python": [sys.executable, "-c", PYTHON[0]], "node": ["node", "-e", NODE[0]]}[language]


class Running:
    """A receiver of the page, listening."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/hook"

    async def line(self) -> str:
        """What it prints next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def running(command: list[str], secret: str) -> AsyncIterator[Running]:
    """A receiver on a free port; ended by its own process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "PARTNER_WEBHOOK_SECRET": secret}
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield Running(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def _today(dsn: str) -> AsyncIterator[Post]:
    """A desk whose clock shows the time of this machine, as receivers check it."""
    async with post_on(dsn, None, RealWorld().now()) as post:
        yield post


@pytest.mark.parametrize("language", ["python", "node"])
async def test_the_receivers_take_live_deliveries(desk_dsns: Dsns, language: str) -> None:
    """Every event, once, in order, acknowledged; what is forged, stale or repeated does no work."""
    async with (
        _today(desk_dsns.app) as post,
        running(program(language), post.partner.webhook_secret) as receiver,
        receiving() as eavesdropper,
        httpx2.AsyncClient(timeout=DEADLINE_SECONDS) as client,
    ):
        desk, world = post.rig.desk, post.rig.world
        await set_webhook(desk, "wallet", url=receiver.url, events=events.EVENTS)
        order = await post.paid_in()
        for _ in range(2):
            await post.deliver()
        assert await receiver.line() == f"order:{order.id}:PENDING"
        assert await receiver.line() == f"order:{order.id}:EXCHANGE"
        async with desk.db.transaction() as tx:
            await outbox.tell_paid_out(tx, world, post.partner.partner_id, PAID)
            await outbox.tell_cleared(tx, world, post.partner.partner_id, events.Cleared(0, 0))
        await post.deliver()
        told = {await receiver.line(), await receiver.line()}
        assert told == {"paid_out:2026-05-13T08:42:11.000Z", "cleared:1970-01-01T00:00:00.000Z"}
        assert all(done for _, _, done, _ in await post.events())

        await set_webhook(desk, "wallet", url=eavesdropper.url)
        async with desk.db.transaction() as tx:
            await outbox.tell_cleared(tx, world, post.partner.partner_id, events.Cleared(1, 0))
        await post.deliver()
        ((headers, body),) = eavesdropper.got
        stale = {**headers, "X-Partner-Webhook-Timestamp": str(world.now() // 1000 - 400)}
        unsigned = {**headers, "X-Partner-Webhook-Sign": "0" * 64}
        cases = [(headers, body + b" ", 401), (stale, body, 401), (unsigned, body, 401)]
        cases += [(headers, body, 204), (headers, body, 204)]
        for sent, raw, status in cases:
            known = {k: v for k, v in sent.items() if k not in {"Host", "Content-Length"}}
            answer = await client.post(receiver.url, content=raw, headers=known)
            assert answer.status_code == status
        assert await receiver.line() == "cleared:1970-01-01T00:00:00.001Z"
        receiver.process.terminate()
        assert await receiver.line() == ""  # the repeat did no work


async def test_the_other_signature(desk_dsns: Dsns) -> None:
    """Both functions of the page accept a live delivery, and nothing that differs in one part."""
    async with _today(desk_dsns.app) as post, receiving() as receiver:
        desk, now = post.rig.desk, post.rig.world.now() // 1000
        await set_webhook(desk, "wallet", url=receiver.url)
        (key,) = await public_keys(desk, post.sealer, post.partner.partner_id)
        post.rig.pay(await post.order())
        await post.rig.look()
        await post.deliver()
    ((headers, body),) = receiver.got
    lower = {name.lower(): value for name, value in headers.items()}
    public = show_public_key(key.public_key)
    other = {**lower, "webhook-id": "x" + lower["webhook-id"][1:]}
    cases: list[tuple[dict[str, str], bytes, str, int, bool]] = [
        (lower, body, public, now, True),
        (lower, body + b" ", public, now, False),
        (other, body, public, now, False),
        (lower, body, public, now + 301, False),
        (lower, body, "whpk_" + "A" * 43 + "=", now, False),
    ]
    scope: dict[str, Any] = {}
    exec(PYTHON[1], scope)
    for *asked, right in cases:
        assert scope["genuine"](*asked) is right
    asks = [[h, raw.decode(), k, at] for h, raw, k, at, _ in cases]
    script = NODE[1] + (
        f"const asks = {json.dumps(asks)};\n"
        "console.log(JSON.stringify(asks.map(([h, b, k, t]) => genuine(h, Buffer.from(b), k, t))));"
    )
    assert json.loads(await _run(["node", "-e", script])) == [right for *_, right in cases]


async def test_the_reader_of_the_log(desk_dsns: Dsns, tmp_path: Path) -> None:
    """It reads all pages, remembers where it was, and the next time reads only what is new."""
    async with site_on(desk_dsns.app) as site:

        async def tell(first: int, count: int) -> None:
            async with site.rig.desk.db.transaction() as tx:
                for n in range(first, first + count):
                    cleared = events.Cleared(n, 0)
                    await outbox.tell_cleared(tx, site.rig.world, site.partner.partner_id, cleared)
            await number_events(site.rig.desk)

        env = {
            "SWAPDESK_URL": site.public, "SWAPDESK_API_KEY": site.partner.api_key,
            "SWAPDESK_API_SECRET": site.partner.api_secret,
            "POSITION_FILE": str(tmp_path / "position"),
        }  # fmt: skip
        command = [sys.executable, "-c", PYTHON[2]]
        await tell(0, 120)
        lines = (await _run(command, env)).splitlines()
        assert lines == [f"{n} earnings.cleared" for n in range(1, 121)]
        await tell(200, 2)
        lines = (await _run(command, env)).splitlines()
        assert lines == ["121 earnings.cleared", "122 earnings.cleared"]
        assert await _run(command, env) == ""


def test_the_page_says_what_the_code_does() -> None:
    """Ladder, limits, types and the example body."""
    assert events.paid_out_body(PAID, 1_778_661_731_000).decode() in PAGE
    for event in (*events.EVENTS, events.PROBE):
        assert f"`{event}`" in PAGE
    assert events.LADDER_MS == (
        0,
        10_000,
        30_000,
        120_000,
        600_000,
        1_800_000,
        7_200_000,
        21_600_000,
    )
    assert "after 10 s, 30 s, 2 min, 10 min, 30 min, 2 h and 6 h" in PAGE
    assert TOTAL_SECONDS == 10
    assert "within 10 seconds" in PAGE
    assert outbox.LANES_MAX == 8
    assert "At most eight deliveries" in PAGE
    assert len(PYTHON) == 3
    assert len(NODE) == 2
    for language, text in BLOCKS:
        if language == "json":
            json.loads(text)


async def _run(command: list[str], env: dict[str, str] | None = None) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **(env or {})}, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()
