"""Referral links over real HTTP, and what their cookie is worth when an order opens."""

import uuid
from typing import Final

import httpx2
import msgspec
import pytest

from swapdesk.assets import Registry
from swapdesk.engine.codes import create_code, switch_code
from swapdesk.engine.open_order import open_order
from swapdesk.partners.codes import Code
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.referral import COOKIE, Referral
from tests.http_site import PER_ADDRESS, Site

pytestmark = pytest.mark.anyio

CODE: Final = "desktop-app"


async def code_of(site: Site, *, markup_bps: int = 70) -> Code:
    """A code of the site's partner, enabled."""
    return await create_code(site.rig.desk, site.partner.partner_id, CODE, markup_bps=markup_bps)


async def follow(site: Site, link: str) -> httpx2.Response:
    """A browser without cookies goes there and stops at the redirect."""
    site.client.cookies.clear()
    return await site.client.get(f"{site.public}/r/{link}", follow_redirects=False)


def referral(site: Site) -> Referral:
    """What the swap page will ask."""
    return Referral(site.rig.desk, site.sealer, PublicBucket(site.rig.world))


async def switch_partner(site: Site, *, enabled: bool) -> None:
    """The operator turns the partner on or off."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute(
            "UPDATE partner SET enabled = $2 WHERE id = $1", site.partner.partner_id, enabled
        )


async def test_a_link_sets_the_cookie_and_fills_in_the_pair(site: Site) -> None:
    """302 to the front page; a session cookie, for this host, that scripts do not see."""
    await code_of(site)
    answer = await follow(site, f"{CODE}?from=btc&to=usdt_trc20")
    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["location"] == "/?from=btc&to=usdt_trc20"
    assert answer.headers["cache-control"] == "no-store"
    value, *flags = answer.headers["set-cookie"].split("; ")
    assert value.startswith(f"{COOKIE}=")
    assert sorted(flag.lower() for flag in flags) == ["httponly", "path=/", "samesite=lax"]


async def test_outside_dev_the_cookie_is_secure(site: Site) -> None:
    """In every world with real money the cookie travels over TLS only."""
    await code_of(site)
    known = site.rig.desk.registry
    site.rig.desk.registry = Registry("test", known.networks, list(known.assets.values()))
    assert "secure" in (await follow(site, CODE)).headers["set-cookie"].lower().split("; ")


async def test_the_cookie_names_nobody(site: Site) -> None:
    """Partner, code and HMAC, the same for every visitor: nothing tells one from another."""
    known = await code_of(site)
    first, second = await follow(site, CODE), await follow(site, f"{CODE}?from=eth")
    assert first.cookies[COOKIE] == second.cookies[COOKIE]
    partner, code, mac = first.cookies[COOKIE].split(".")
    assert (uuid.UUID(partner), uuid.UUID(code)) == (site.partner.partner_id, known.id)
    assert len(mac) == 43


@pytest.mark.parametrize(
    ("query", "filled"),
    [
        ("", ""),
        ("?from=btc", "?from=btc"),
        ("?to=usdt_trc20", "?to=usdt_trc20"),
        ("?from=BTC&to=USDTTRC20", "?from=btc&to=usdt_trc20"),
        ("?from=trx&to=Usdttrc", "?from=trx&to=usdt_trc20"),
        ("?from=btc&to=nothing", "?from=btc"),
        ("?from=usdt_bsc&to=btc", "?to=btc"),
        ("?from=btc&to=btc", "?from=btc"),
        (f"?from={'b' * 1000}&to=%00", ""),
        ("?from=%0d%0aset-cookie:x=y", ""),
        ("?from=//evil.example&to=btc", "?to=btc"),
        ("?from=btc&to=trx&next=//evil.example", "?from=btc&to=trx"),
    ],
)
async def test_both_dialects_of_ids_are_taken(site: Site, query: str, filled: str) -> None:
    """Ids of the catalogue and of the feed; what this site does not offer is left out."""
    await code_of(site)
    answer = await follow(site, CODE + query)
    assert (answer.status_code, answer.headers["location"]) == (302, "/" + filled)
    assert COOKIE in answer.cookies


@pytest.mark.parametrize(
    "code", ["unknown", "abc", "a" * 33, "de.sktop", "%00%ff%fe", "desktop-app "]
)
async def test_an_unknown_code_leads_home_without_a_cookie(site: Site, code: str) -> None:
    """Whatever it looks like."""
    await code_of(site)
    answer = await follow(site, f"{code}?from=btc&to=trx")
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    assert "set-cookie" not in answer.headers


async def test_a_disabled_code_or_partner_leads_home(site: Site) -> None:
    """No cookie while either is off; with both back on, the link works again."""
    await code_of(site)
    await switch_code(site.rig.desk, site.partner.partner_id, CODE, enabled=False)
    assert "set-cookie" not in (await follow(site, CODE)).headers
    await switch_code(site.rig.desk, site.partner.partner_id, CODE, enabled=True)
    await switch_partner(site, enabled=False)
    assert "set-cookie" not in (await follow(site, CODE)).headers
    await switch_partner(site, enabled=True)
    assert "set-cookie" in (await follow(site, CODE)).headers


async def test_links_draw_on_the_strangers_budget(site: Site) -> None:
    """Codes cannot be guessed at speed: 429 like every unsigned call."""
    answers = [await follow(site, f"guess{n}") for n in range(PER_ADDRESS + 1)]
    assert [a.status_code for a in answers] == [302] * PER_ADDRESS + [429]
    assert answers[-1].json() == {"code": 5, "msg": "RATE_LIMIT"}
    assert answers[-1].headers["retry-after"] == "60"


async def test_an_order_is_attributed(site: Site) -> None:
    """The cookie's partner owns the order, its code is on it, and its markup is in the price."""
    known = await code_of(site)
    cookie = (await follow(site, CODE)).cookies[COOKIE]
    found = await referral(site).attribution_of(cookie)
    assert found is not None
    assert (found.partner_id, found.code_id) == (site.partner.partner_id, known.id)
    ask = msgspec.structs.replace(
        site.rig.ask(), partner_id=found.partner_id, code_id=found.code_id,
        markup_bps=found.markup_bps,
    )  # fmt: skip
    order = await site.rig.order((await open_order(site.rig.desk, ask)).view.order.id)
    assert (order.partner_id, order.code_id, order.markup_bps) == (
        site.partner.partner_id, known.id, 70,
    )  # fmt: skip


async def test_a_code_without_markup_brings_its_partners(site: Site) -> None:
    """0 falls through to the partner's 30 (contract A5.9, D46)."""
    await code_of(site, markup_bps=0)
    found = await referral(site).attribution_of((await follow(site, CODE)).cookies[COOKIE])
    assert found is not None
    assert found.markup_bps == 30


async def test_an_old_cookie_is_looked_at_again(site: Site) -> None:
    """Switched off since: no attribution; the cookie is worth something again when all is on."""
    await code_of(site)
    cookie, page = (await follow(site, CODE)).cookies[COOKIE], referral(site)
    await switch_code(site.rig.desk, site.partner.partner_id, CODE, enabled=False)
    assert await page.attribution_of(cookie) is None
    await switch_code(site.rig.desk, site.partner.partner_id, CODE, enabled=True)
    await switch_partner(site, enabled=False)
    assert await page.attribution_of(cookie) is None
    await switch_partner(site, enabled=True)
    assert await page.attribution_of(cookie) is not None


async def test_only_our_own_cookies_count(site: Site) -> None:
    """Nothing, noise, another partner's id, a code of somebody else, a changed signature."""
    known, page = await code_of(site), referral(site)
    good = page.cookie(known.partner_id, known.id)
    partner, code, mac = good.split(".")
    assert await page.attribution_of(good) is not None
    flipped = ("A" if mac[0] != "A" else "B") + mac[1:]
    other = site.rig.partner_id.hex
    for bad in (
        None, "", ".", "..", "a.b.c", "\x00\xff", f"{partner}.{code}", f"{partner}.{code}.",
        f"{partner}.{code}.{flipped}", f"{other}.{code}.{mac}", f"{code}.{partner}.{mac}",
        good.upper(), good + "A", " " + good, page.cookie(site.rig.partner_id, known.id),
        page.cookie(known.partner_id, uuid.UUID(int=5)),
    ):  # fmt: skip
        assert await page.attribution_of(bad) is None, bad
