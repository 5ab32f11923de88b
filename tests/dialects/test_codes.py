"""Reference codes: making, listing, switching, and what `apiKey.code` does to a price."""

import asyncio
import uuid
from typing import Any

import pytest

from swapdesk.engine.codes import referring_code
from swapdesk.engine.partner_admin import create_partner
from tests.dialects.second_web import second_web
from tests.http_site import CREATE, PRICE, Site
from tests.postgres import Dsns

pytestmark = pytest.mark.anyio

BAD = (400, {"code": 1, "msg": "INVALID_REQUEST"})
TAKEN = (409, {"code": 1, "msg": "INVALID_REQUEST"})
UNKNOWN = (404, {"code": 6, "msg": "NOT_FOUND"})


def keyed(site: Site, code: str) -> dict[str, str | None]:
    """The key header with a code's suffix."""
    return {"X-API-KEY": f"{site.partner.api_key}.{code}"}


async def listed(site: Site, **how: Any) -> list[dict[str, Any]]:
    """GET /codes: signed as the empty string."""
    found: list[dict[str, Any]] = await site.data("codes", b"", method="GET", **how)
    return found


async def test_a_new_code_answers_like_the_page(site: Site) -> None:
    """Every name in order; the id looks like a cuid; a time in ISO 8601; the label as sent."""
    site.rig.world.at += 7
    made = await site.data("codes", {"code": "casino-front", "label": " Casino ", "afftaxBps": 75})
    assert list(made) == ["id", "code", "label", "afftaxBps", "enabled", "createdAt"]
    assert made["id"][0] == "c"
    assert len(made["id"]) == 26
    assert made["id"].isalnum()
    assert made["id"] == made["id"].lower()
    assert {**made, "id": ""} == {
        "id": "", "code": "casino-front", "label": "Casino", "afftaxBps": 75, "enabled": True,
        "createdAt": "2027-01-15T08:00:00.007Z",
    }  # fmt: skip
    plain = await site.data("codes", {"code": "a_B9", "label": "  "})
    assert (plain["label"], plain["afftaxBps"]) == (None, 0)


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"code": "abc"},
        {"code": "x" * 33},
        {"code": "with.dot"},
        {"code": "with blank"},
        {"code": "\u00e4\u00f6\u00fc\u00df"},
        {"code": "casino-front\n"},
        {"code": 1234},
        {"code": "good-code", "label": "x" * 65},
        {"code": "good-code", "label": "nul\u0000"},
        {"code": "good-code", "label": "half \ud800"},
        {"code": "good-code", "label": 7},
        {"code": "good-code", "afftaxBps": 2001},
        {"code": "good-code", "afftaxBps": -1},
        {"code": "good-code", "afftaxBps": "5"},
        {"code": "good-code", "afftaxBps": None},
    ],
)
async def test_ill_formed_codes(site: Site, ask: dict[str, object]) -> None:
    """Code 1/400, nothing is clamped, nothing is written."""
    answer = await site.call("codes", ask)
    assert (answer.status_code, answer.json()) == BAD
    assert await listed(site) == []


async def test_codes_are_unique_over_all_partners(site: Site) -> None:
    """Taken is 1/409 for its owner, for a stranger and after it was disabled (D43, E6)."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    await site.data("codes", {"code": "desktop"})
    for who in (site.partner, other):
        answer = await site.call("codes", {"code": "desktop"}, partner=who)
        assert (answer.status_code, answer.json()) == TAKEN
    await site.data("codes", {"code": "desktop"}, method="DELETE")
    answer = await site.call("codes", {"code": "desktop"})
    assert (answer.status_code, answer.json()) == TAKEN
    assert (await site.data("codes", {"code": "Desktop"}))["code"] == "Desktop"


async def test_fifty_codes_and_no_more(site: Site) -> None:
    """The cap holds under concurrency, disabled codes count, the operator may raise it (D45)."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET codes_max = 5")
    asks = [site.call("codes", {"code": f"code-{n}"}) for n in range(12)]
    answers = await asyncio.gather(*asks)
    assert sorted(a.status_code for a in answers) == [200] * 5 + [409] * 7
    await site.data("codes", {"code": (await listed(site))[0]["code"]}, method="DELETE")
    answer = await site.call("codes", {"code": "one-more"})
    assert (answer.status_code, answer.json()) == TAKEN
    async with site.rig.desk.db.transaction() as tx:
        assert await tx.fetchval("SELECT column_default FROM information_schema.columns"
                                 " WHERE column_name = 'codes_max'") == "50"  # fmt: skip
        await tx.execute("UPDATE partner SET codes_max = 6")
    await site.data("codes", {"code": "one-more"})


async def test_the_list_is_newest_first_and_one_partners_own(site: Site) -> None:
    """Enabled and disabled, at most 100, and nobody else's."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    await site.data("codes", {"code": "foreign"}, partner=other)
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET codes_max = 200")
    for n in range(103):
        site.rig.world.at += 1_000
        if n % 20 == 0:
            await site.rig.tick()
        await site.data("codes", {"code": f"code-{n}"})
    await site.data("codes", {"code": "code-102"}, method="DELETE")
    found = await listed(site)
    assert [code["code"] for code in found] == [f"code-{n}" for n in range(102, 2, -1)]
    assert [code["enabled"] for code in found[:2]] == [False, True]
    assert [code["code"] for code in await listed(site, partner=other)] == ["foreign"]


async def test_disabling_and_enabling(site: Site) -> None:
    """DELETE disables and answers true, enable answers the code; both may be repeated (D44)."""
    made = await site.data("codes", {"code": "desktop"})
    for _ in range(2):
        assert await site.data("codes", {"code": "desktop"}, method="DELETE") is True
    assert (await listed(site))[0] == {**made, "enabled": False}
    for _ in range(2):
        assert await site.data("codes/enable", {"code": "desktop"}) == made
    off = await site.data("codes/enable", {"code": "desktop", "enabled": False})
    assert off == {**made, "enabled": False}
    answer = await site.call("codes/enable", {"code": "desktop", "enabled": 1})
    assert (answer.status_code, answer.json()) == BAD


@pytest.mark.parametrize(("method", "path"), [("DELETE", "codes"), ("POST", "codes/enable")])
async def test_unknown_and_foreign_codes_are_one_answer(site: Site, method: str, path: str) -> None:
    """6/404 alike, also for what cannot be a code; a foreign one stays as it was."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    await site.data("codes", {"code": "foreign"}, partner=other)
    for code in ("foreign", "unknown", "no", "with.dot", "nul\u0000nul"):
        answer = await site.call(path, {"code": code}, method=method)
        assert (answer.status_code, answer.json()) == UNKNOWN
    assert (await listed(site, partner=other))[0]["enabled"] is True


async def test_markup_resolution(site: Site) -> None:
    """Body before code before partner; a code's 0 falls through; a body's 0 is 0 (A4, D46)."""
    await site.data("codes", {"code": "with-markup", "afftaxBps": 200})
    await site.data("codes", {"code": "without"})
    for path, ask in (("price", PRICE), ("create", {**CREATE, "afftax": None})):
        with_code, without = keyed(site, "with-markup"), keyed(site, "without")
        assert (await site.data(path, ask))["markupBps"] == 30
        assert (await site.data(path, ask, headers=with_code))["markupBps"] == 200
        assert (await site.data(path, ask, headers=without))["markupBps"] == 30
        own = {**ask, "afftax": 0}
        assert (await site.data(path, own, headers=with_code))["markupBps"] == 0


async def test_what_does_not_count_degrades_silently(site: Site, desk_dsns: Dsns) -> None:
    """Unknown, foreign, disabled: the partner's markup, no attribution, no refusal, everywhere."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    await site.data("codes", {"code": "foreign", "afftaxBps": 500}, partner=other)
    await site.data("codes", {"code": "desktop", "afftaxBps": 500})
    async with second_web(site, desk_dsns.app) as elsewhere:
        use = {"headers": keyed(site, "desktop"), "at": elsewhere}
        assert (await site.data("price", PRICE, **use))["markupBps"] == 500
        await site.data("codes", {"code": "desktop"}, method="DELETE")
        assert (await site.data("price", PRICE, **use))["markupBps"] == 30
    for code in ("desktop", "foreign", "unknown", "desktop.more"):
        ask = {**CREATE, "afftax": None}
        data = await site.data("create", ask, headers=keyed(site, code))
        assert data["markupBps"] == 30
        assert (await site.rig.order(uuid.UUID(data["id"]))).code_id is None


async def test_an_order_remembers_its_code(site: Site) -> None:
    """Attribution is kept whatever the markup came from; renaming or disabling changes nothing."""
    await site.data("codes", {"code": "desktop", "afftaxBps": 40})
    data = await site.data("create", CREATE, headers=keyed(site, "desktop"))
    code = await referring_code(site.rig.desk, "desktop")
    assert code is not None
    assert (await site.rig.order(uuid.UUID(data["id"]))).code_id == code.id
    await site.data("codes", {"code": "desktop"}, method="DELETE")
    assert (await site.rig.order(uuid.UUID(data["id"]))).code_id == code.id
    assert await referring_code(site.rig.desk, "desktop") is None


async def test_a_body_signed_for_one_method_is_checked_for_another(site: Site) -> None:
    """The signature covers only the body (E3): DELETE and POST differ by what they do, not by it."""
    body = {"code": "desktop"}
    assert (await site.data("codes", body))["enabled"] is True
    assert await site.data("codes", body, method="DELETE") is True
    assert (await site.data("codes/enable", body))["enabled"] is True
