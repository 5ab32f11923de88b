"""Maintenance, the daily cap, a disabled partner, and what a price says of what stands in its way."""

import asyncio
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from swapdesk.engine import handover
from swapdesk.engine.daily_cap import forget_daily
from swapdesk.engine.maintenance import read_maintenance, set_maintenance
from swapdesk.engine.partner_admin import create_partner, switch_partner
from swapdesk.errors import No, Refused
from swapdesk.handoff import Beat, HotBalance
from swapdesk.money import USD_SCALE
from swapdesk.web.signed_v1_words import PRICE_ERROR
from tests.dialects.second_web import second_web
from tests.http_site import CREATE, PRICE, Site
from tests.postgres import Dsns

pytestmark = pytest.mark.anyio

PAUSED = (503, {"code": 10, "msg": "MAINTENANCE"})
FULL = (400, {"code": 8, "msg": "LIMIT_MAX"})
DISABLED = (401, {"code": 4, "msg": "AUTH_DISABLED"})
DAY_MS = 86_400_000


def told(answer: Any) -> tuple[int, Any]:
    """Status and body."""
    return answer.status_code, answer.json()


def test_the_words_of_a_price_are_the_ancestors() -> None:
    """Seven of the eight; nobody reserves what is received, so RESERVE_FROM is never said."""
    assert {word for words in PRICE_ERROR.values() for word in words} == {
        "MAINTENANCE_FROM", "MAINTENANCE_TO", "OFFLINE_FROM", "OFFLINE_TO", "RESERVE_TO",
        "LIMIT_MIN", "LIMIT_MAX",
    }  # fmt: skip


async def test_maintenance_pauses_create_only(site: Site, desk_dsns: Dsns) -> None:
    """10/503 on create in every process within a second; replays, orders and prices go on."""
    key = {"Idempotency-Key": "order-0001"}
    data = await site.data("create", CREATE, headers=key)
    who = {"id": data["id"], "token": data["token"]}
    async with second_web(site, desk_dsns.app) as elsewhere:
        assert (await site.call("create", CREATE, at=elsewhere)).status_code == 200
        await set_maintenance(site.rig.desk, on=True, by="test")
        site.rig.world.at += 1_000
        for at in (None, elsewhere):
            assert told(await site.call("create", CREATE, at=at)) == PAUSED
            assert (await site.call("order", who, at=at)).status_code == 200
            again = await site.data("create", CREATE, headers=key, at=at)
            assert (again["id"], again["token"]) == (data["id"], None)
            price = await site.data("price", PRICE, at=at)
            assert price["errors"] == ["MAINTENANCE_FROM", "MAINTENANCE_TO"]
            assert (price["from"]["amount"], price["to"]["amount"]) == ("0", "0")
            assert price["from"]["min"] == "0.00016667"
        assert (await site.call("create", {**CREATE, "amount": "x"})).json()["code"] == 1
        await set_maintenance(site.rig.desk, on=False, by="test")
        site.rig.world.at += 1_000
        for at in (None, elsewhere):
            assert (await site.call("create", CREATE, at=at)).status_code == 200


async def test_the_switch_says_since_when(site: Site) -> None:
    """Turning it again to where it is keeps time and name."""
    first = await set_maintenance(site.rig.desk, on=True, by="somebody")
    site.rig.world.at += 5_000
    assert await set_maintenance(site.rig.desk, on=True, by="another") == first
    assert (await read_maintenance(site.rig.desk)).by == "somebody"
    off = await set_maintenance(site.rig.desk, on=False, by="another")
    assert (off.on, off.since_ms, off.by) == (False, site.rig.world.now(), "another")


def cap(site: Site, dollars: int) -> None:
    """Give the site a daily cap."""
    desk = site.rig.desk
    desk.terms = replace(desk.terms, daily_cap_usd=dollars * USD_SCALE)


async def test_the_daily_cap(site: Site) -> None:
    """600 dollars each under a cap of 1500: two open, the third is 8, and smaller ones still fit;
    a day later there is room again. Refused ones and replays take none."""
    cap(site, 1_500)
    key = {"Idempotency-Key": "order-0001"}
    await site.data("create", CREATE, headers=key)
    await site.data("create", CREATE)
    for _ in range(3):
        assert told(await site.call("create", CREATE)) == FULL
        assert (await site.data("create", CREATE, headers=key))["token"] is None
    fresh = {"Idempotency-Key": "order-0002"}
    assert told(await site.call("create", CREATE, headers=fresh)) == FULL
    small = {**CREATE, "amount": "0.005"}
    assert (await site.call("create", small, headers=fresh)).status_code == 200  # the key was free
    assert told(await site.call("create", {**CREATE, "amount": "1"})) == FULL  # the pair's own
    site.rig.world.at += DAY_MS - 60_000
    await site.rig.tick()
    assert told(await site.call("create", CREATE)) == FULL
    site.rig.world.at += 60_000
    await site.rig.tick()
    assert (await site.call("create", CREATE)).status_code == 200
    await forget_daily(site.rig.desk)
    assert (await site.rows())["opened_value"] == 1


async def test_the_cap_holds_under_concurrency(site: Site, desk_dsns: Dsns) -> None:
    """Thirty at once in two processes with room for seven: seven."""
    cap(site, 4_500)
    async with second_web(site, desk_dsns.app) as elsewhere:
        calls = (site.call("create", CREATE, at=(None, elsewhere)[n % 2]) for n in range(30))
        answers = await asyncio.gather(*calls)
    assert sorted(a.status_code for a in answers) == [200] * 7 + [400] * 23
    assert {told(a)[1]["code"] for a in answers} == {0, 8}
    assert (await site.rows())["orders"] == 7


async def test_one_key_takes_room_once(site: Site) -> None:
    """Ten concurrent requests with one key under a cap: one order, counted once."""
    cap(site, 1_300)
    key = {"Idempotency-Key": "order-0001"}
    answers = await asyncio.gather(*(site.call("create", CREATE, headers=key) for _ in range(10)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["data"]["id"] for a in answers}) == 1
    assert (await site.call("create", CREATE)).status_code == 200
    assert told(await site.call("create", CREATE)) == FULL


async def test_without_a_cap_nothing_is_counted(site: Site) -> None:
    """No row, no lock."""
    await site.data("create", CREATE)
    assert (await site.rows())["opened_value"] == 0


async def test_a_price_knows_the_daily_cap(site: Site) -> None:
    """LIMIT_MAX once there is less room than the amount is worth; amounts are told."""
    cap(site, 1_000)
    assert (await site.data("price", PRICE))["errors"] == []
    await site.data("create", CREATE)
    site.rig.world.at += 1_000
    price = await site.data("price", PRICE)
    assert (price["errors"], price["from"]["amount"]) == (["LIMIT_MAX"], "0.01000000")
    assert (await site.data("price", {**PRICE, "amount": "0.001"}))["errors"] == []


async def test_a_price_tells_which_side_is_offline(site: Site) -> None:
    """OFFLINE_FROM and OFFLINE_TO with amounts of "0"; create answers 11."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE chain_cursor SET synced_ms = 0 WHERE network = 'tron'")
    site.rig.world.at += 1_000
    price = await site.data("price", PRICE)
    assert (price["errors"], price["to"]["amount"]) == (["OFFLINE_TO"], "0")
    back = {**PRICE, "fromCcy": "usdt_trc20", "toCcy": "btc", "amount": "700"}
    assert (await site.data("price", back))["errors"] == ["OFFLINE_FROM"]
    answer = await site.call("create", CREATE)
    assert told(answer) == (503, {"code": 11, "msg": "UPSTREAM_ERROR"})


async def test_a_price_tells_of_a_short_reserve(site: Site) -> None:
    """RESERVE_TO when the vault holds less than would be paid; 9 is never emitted."""
    price = await site.data("price", PRICE)
    assert price["errors"] == []  # the vault has not said what it holds
    beat = Beat(fence=1, stopped=None, balances=(HotBalance("usdt_trc20", 594_199_999),))
    await handover.note_beat(site.rig.desk, beat)
    site.rig.world.at += 1_000
    price = await site.data("price", PRICE)
    assert (price["errors"], price["to"]["amount"]) == (["RESERVE_TO"], "594.200000")
    await handover.note_beat(
        site.rig.desk, replace(beat, balances=(HotBalance("usdt_trc20", 594_200_000),))
    )
    site.rig.world.at += 1_000
    assert (await site.data("price", PRICE))["errors"] == []
    assert (await site.call("create", {**CREATE, "amount": "0.3"})).status_code == 200


async def test_a_disabled_partner(site: Site, desk_dsns: Dsns) -> None:
    """4 everywhere at once, after a valid signature only; others and his orders go on."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    data = await site.data("create", CREATE)
    async with second_web(site, desk_dsns.app) as elsewhere:
        assert (await site.call("price", PRICE, at=elsewhere)).status_code == 200
        await switch_partner(site.rig.desk, "partner", enabled=False)
        for at in (None, elsewhere):
            for path, body in (("price", PRICE), ("create", CREATE), ("codes", b"")):
                method = "GET" if path == "codes" else "POST"
                answer = await site.call(path, body, at=at, method=method)
                assert told(answer) == DISABLED
            forged = await site.call("price", PRICE, at=at, headers={"X-API-SIGN": "ab" * 32})
            assert told(forged) == (401, {"code": 3, "msg": "AUTH_INVALID"})
            assert (await site.call("price", PRICE, at=at, partner=other)).status_code == 200
        order = await site.rig.order(uuid.UUID(data["id"]))
        site.rig.pay(order)
        await site.rig.mine(count=2)
        assert (await site.rig.state(order.id)).value == "PAYING"
        await switch_partner(site.rig.desk, "partner", enabled=True)
        assert (await site.call("price", PRICE, at=elsewhere)).status_code == 200
    with pytest.raises(Refused) as refused:
        await switch_partner(site.rig.desk, "nobody", enabled=False)
    assert refused.value.no is No.NOT_FOUND
