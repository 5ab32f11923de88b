"""Two `swapdesk web` processes on one PostgreSQL: what holds in one holds across both.

The processes are the production program; the test is their partners, and what vault, watchers and
rates would write.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import httpx2
import pytest
from benchmarks.site import live, start_web, until_ready, write_site

from swapdesk.build import open_desk
from swapdesk.child import Child
from swapdesk.engine.desk import Desk
from swapdesk.engine.partner_admin import create_partner
from swapdesk.partners.partner import Credentials
from swapdesk.partners.secrets import read_key_file
from tests.http_site import CREATE, PRICE, sign
from tests.postgres import Dsns

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DEADLINE_SECONDS: Final = 60
Answer = tuple[int, Any]


class Webs:
    """Two processes and one partner."""

    def __init__(self, desk: Desk, urls: list[str], partner: Credentials) -> None:
        self.desk = desk
        self.urls = urls
        self.partner = partner
        self.children: list[Child] = []
        self.client = httpx2.AsyncClient(timeout=DEADLINE_SECONDS)
        self._nonces = itertools.count()

    async def call(self, web: int, path: str, body: Mapping[str, object], **headers: str) -> Answer:
        """A signed call to one of them: status and answer. `headers`: nonce, idempotency_key."""
        raw = json.dumps(dict(body)).encode()
        sent = {
            "X-API-KEY": self.partner.api_key,
            "X-API-SIGN": sign(self.partner.api_secret, raw),
            "X-API-NONCE": headers.get("nonce", f"a-nonce-{next(self._nonces):010}"),
        }
        if key := headers.get("idempotency_key"):
            sent["Idempotency-Key"] = key
        url = f"{self.urls[web]}/api/v1/{path}"
        answer = await self.client.post(url, content=raw, headers=sent)
        return answer.status_code, answer.json()

    async def at_both(self, times: int, call: Callable[[int], Awaitable[Answer]]) -> list[Answer]:
        """`call(web)` so many times at each, all at once."""
        return list(await asyncio.gather(*(call(n % 2) for n in range(2 * times))))

    async def set_budget(self, weight: int) -> None:
        """What the partner may spend in a minute from now on."""
        async with self.desk.db.transaction() as tx:
            await tx.execute("DELETE FROM weight_charge")
            await tx.execute("UPDATE partner SET weight_per_minute = $1", weight)


@pytest.fixture
async def webs(desk_dsns: Dsns, tmp_path: Path) -> AsyncIterator[Webs]:
    """Both processes answering, the world around them alive."""
    sites = [write_site(tmp_path, name, desk_dsns.app) for name in ("one", "two")]
    desk = await open_desk(sites[0], name="world")
    world = asyncio.create_task(live(desk))
    partner = await create_partner(desk, read_key_file(sites[0].sealing_key_file), name="partner")
    urls = [f"http://127.0.0.1:{site.public.port}" for site in sites]
    webs = Webs(desk, urls, partner)
    try:
        webs.children = [start_web(tmp_path, name) for name in ("one", "two")]
        for url, child in zip(urls, webs.children, strict=True):
            await until_ready(url, child)
        yield webs
    finally:
        await webs.client.aclose()
        for child in webs.children:
            child.stop(15)
        world.cancel()
        await asyncio.wait([world])
        await desk.db.close()


async def test_nonces_keys_budgets_and_secrets_hold_across_both(webs: Webs) -> None:
    """One nonce lets one in; one key opens one order; a budget is spent once; an old secret is
    dead at both as soon as the new one is told."""
    told = await webs.at_both(20, lambda web: webs.call(web, "price", PRICE, nonce="n" * 20))
    assert sorted(status for status, _ in told) == [200] + [401] * 39

    await webs.set_budget(1_000_000)
    key = "one-key-for-all"
    told = await webs.at_both(20, lambda web: webs.call(web, "create", CREATE, idempotency_key=key))
    assert {status for status, _ in told} == {200}
    assert len({answer["data"]["id"] for _, answer in told}) == 1
    assert sum(answer["data"]["token"] is not None for _, answer in told) == 1

    await webs.set_budget(500)
    told = await webs.at_both(20, lambda web: webs.call(web, "create", CREATE))
    assert sorted(status for status, _ in told) == [200] * 10 + [429] * 30

    await webs.set_budget(1_000_000)
    assert (await webs.call(1, "price", PRICE))[0] == 200
    status, answer = await webs.call(0, "keys/rotate", {"rotate": ["apiSecret"]})
    assert status == 200, answer
    told = await webs.at_both(3, lambda web: webs.call(web, "price", PRICE))
    assert {status for status, _ in told} == {401}


async def test_a_killed_process_loses_no_accepted_order(webs: Webs) -> None:
    """SIGKILL under load: what was answered is there; what was not is settled by its key at the
    other process; every order has an address of its own."""
    await webs.set_budget(2_000_000_000)
    first: dict[str, Any] = {}  #: key -> what was answered; None: nothing
    victim = webs.children[0]
    keys = iter(range(1_000_000))

    async def client(web: int) -> None:
        while victim.status is None and len(first) < 5_000:
            key = f"a-key-of-its-own-{next(keys)}"
            try:
                status, answer = await webs.call(web, "create", CREATE, idempotency_key=key)
            except httpx2.TransportError:
                first[key] = None
            else:
                assert status == 200, answer
                first[key] = answer["data"]

    async def kill() -> None:
        while len(first) < 100:
            await asyncio.sleep(0.01)
        victim.signal(SIGKILL)

    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(kill(), *(client(n % 2) for n in range(16)))
    assert None in first.values(), "nobody was left without an answer"
    opened = []
    for key, before in first.items():
        status, answer = await webs.call(1, "create", CREATE, idempotency_key=key)
        assert status == 200, answer
        assert before is None or before["id"] == answer["data"]["id"]
        opened.append(answer["data"])
    assert len({order["id"] for order in opened}) == len(first)
    async with webs.desk.db.transaction() as tx:
        rows = await tx.fetch(
            "SELECT o.id, a.index, a.address FROM orders o JOIN pay_in_address a"
            " ON a.order_id = o.id"
        )
    assert len(rows) == len({row["index"] for row in rows}) == len(first)
    told = {order["id"]: order["from"]["address"] for order in opened}
    for row in rows:
        assert told[str(row["id"])] == row["address"]
        assert webs.desk.pay_in.address("bitcoin", row["index"]) == row["address"]
