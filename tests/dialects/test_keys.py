"""Rotating secrets: the old one dies at once, in every process; whoever loses a race hears of it."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from swapdesk.engine.admit import find_holder
from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.rotate_keys import rotate_keys
from swapdesk.errors import No, Refused
from swapdesk.partners.partner import Credentials
from swapdesk.partners.secrets import Place
from tests.dialects.second_web import second_web
from tests.http_site import PRICE, Site
from tests.postgres import Dsns

pytestmark = pytest.mark.anyio

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
INVALID = (401, {"code": 3, "msg": "AUTH_INVALID"})
CONFLICT = (409, {"code": 14, "msg": "ROTATION_CONFLICT"})
BOTH = ["apiSecret", "webhookSecret"]


def renewed(site: Site, secret: str) -> Credentials:
    """The partner with another api secret."""
    old = site.partner
    return Credentials(old.partner_id, old.api_key, secret, old.webhook_secret)


async def webhook_secret(site: Site) -> str:
    """What the next delivery is signed with: read when it is sent, opened with the site's key."""
    who = site.partner.partner_id
    async with site.rig.desk.db.transaction() as tx:
        blob = await tx.fetchval("SELECT webhook_secret_sealed FROM partner WHERE id = $1", who)
    return site.sealer.open(Place("partner", str(who), "webhook_secret_sealed"), blob)


async def test_rotating_the_api_secret(site: Site, desk_dsns: Dsns) -> None:
    """The old one is 3 at once, also where it was remembered; the new one works; the key stays."""
    async with second_web(site, desk_dsns.app) as elsewhere:
        for at in (None, elsewhere):  # both processes have met the old secret
            assert (await site.call("price", PRICE, at=at)).status_code == 200
        fresh = await site.data("keys/rotate", {"rotate": ["apiSecret"]})
        assert list(fresh) == ["apiSecret"]
        assert SECRET.fullmatch(fresh["apiSecret"])
        for at in (elsewhere, None):
            answer = await site.call("price", PRICE, at=at)
            assert (answer.status_code, answer.json()) == INVALID
            new = renewed(site, fresh["apiSecret"])
            assert (await site.call("price", PRICE, at=at, partner=new)).status_code == 200
    assert await webhook_secret(site) == site.partner.webhook_secret


async def test_rotating_the_webhook_secret(site: Site) -> None:
    """Only that one is told and changed; what is sent from now on is signed with it."""
    fresh = await site.data("keys/rotate", {"rotate": ["webhookSecret"]})
    assert list(fresh) == ["webhookSecret"]
    assert await webhook_secret(site) == fresh["webhookSecret"] != site.partner.webhook_secret
    again = await site.data("keys/rotate", {"rotate": ["webhookSecret"]})
    assert await webhook_secret(site) == again["webhookSecret"] != fresh["webhookSecret"]


async def test_rotating_both(site: Site) -> None:
    """Both in one answer, in either order of the request."""
    fresh = await site.data("keys/rotate", {"rotate": BOTH[::-1]})
    assert list(fresh) == BOTH
    assert await webhook_secret(site) == fresh["webhookSecret"]
    new = renewed(site, fresh["apiSecret"])
    assert (await site.call("price", PRICE, partner=new)).status_code == 200


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"rotate": []},
        {"rotate": ["apiKey"]},
        {"rotate": ["apisecret"]},
        {"rotate": "apiSecret"},
        {"rotate": [*BOTH, "apiSecret"]},
        {"rotate": ["apiSecret", "apiSecret"]},
        {"rotate": ["apiSecret", None]},
        {"rotate": None},
    ],
)
async def test_what_cannot_be_rotated(site: Site, ask: dict[str, object]) -> None:
    """Anything but one or two of the two names is 1, and nothing changes."""
    answer = await site.call("keys/rotate", ask)
    assert (answer.status_code, answer.json()) == (400, {"code": 1, "msg": "INVALID_REQUEST"})
    assert (await site.call("price", PRICE)).status_code == 200


@pytest.mark.parametrize("which", [["apiSecret"], ["webhookSecret"], BOTH])
async def test_of_concurrent_rotations_one_wins(
    site: Site, desk_dsns: Dsns, which: list[str]
) -> None:
    """Twelve at once in two processes: winners' secrets chain, the others hear 14, or 3 when their
    own secret was dead by then; the last winner's secrets are the ones that count."""
    async with second_web(site, desk_dsns.app) as elsewhere:
        answers = await asyncio.gather(
            *(
                site.call("keys/rotate", {"rotate": which}, at=(None, elsewhere)[n % 2])
                for n in range(12)
            )
        )
    told = Counter((a.status_code, a.json()["code"]) for a in answers)
    assert set(told) <= {(200, 0), (409, 14), (401, 3)}
    won: list[dict[str, Any]] = [a.json()["data"] for a in answers if a.status_code == 200]
    if "apiSecret" in which:
        assert len(won) == 1  # all twelve proved possession of one secret: it buys one rotation
        new = renewed(site, won[0]["apiSecret"])
        assert (await site.call("price", PRICE, partner=new)).status_code == 200
        assert (await site.call("price", PRICE)).status_code == 401
    if "webhookSecret" in which:
        assert (401, 3) not in told or "apiSecret" in which
        assert await webhook_secret(site) in [each["webhookSecret"] for each in won]


async def test_the_loser_of_a_race_changes_nothing(site: Site) -> None:
    """Compare and set: a version read before somebody else's rotation is CONFLICT, for both or
    either; of a rotation of both, neither secret changes."""
    desk, seal = site.rig.desk, site.sealer
    holder = await find_holder(desk, site.partner.api_key)
    assert holder is not None
    await rotate_keys(desk, seal, holder, api_secret=False, webhook_secret=True)
    current = await webhook_secret(site)
    for api in (False, True):
        with pytest.raises(Refused) as refused:
            await rotate_keys(desk, seal, holder, api_secret=api, webhook_secret=True)
        assert refused.value.no is No.CONFLICT
    assert await webhook_secret(site) == current
    assert (await site.call("price", PRICE)).status_code == 200
    stale = replace(holder, version=0, webhook_version=2)
    with pytest.raises(Refused) as refused:
        await rotate_keys(desk, seal, stale, api_secret=True, webhook_secret=True)
    assert refused.value.no is No.CONFLICT
    assert await webhook_secret(site) == current  # the webhook secret came first and went back


async def test_the_loser_hears_fourteen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that is overtaken between its door and its work answers 14/409."""
    import swapdesk.web.signed_v1_partner as page

    async def overtaken(desk: Any, sealer: Any, holder: Any, **which: bool) -> Any:
        await rotate_keys(desk, sealer, holder, **which)
        return await rotate_keys(desk, sealer, holder, **which)

    monkeypatch.setattr(page, "rotate_keys", overtaken)
    answer = await site.call("keys/rotate", {"rotate": ["apiSecret"]})
    assert (answer.status_code, answer.json()) == CONFLICT


async def test_a_rotation_concerns_one_partner(site: Site) -> None:
    """Somebody else's secrets stay; a body signed by one cannot rotate another."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    crossed = {"X-API-KEY": other.api_key}
    answer = await site.call("keys/rotate", {"rotate": BOTH}, headers=crossed)
    assert (answer.status_code, answer.json()) == INVALID
    await site.data("keys/rotate", {"rotate": BOTH})
    assert (await site.call("price", PRICE, partner=other)).status_code == 200


async def test_no_secret_is_stored_in_clear(site: Site) -> None:
    """After a rotation neither the old nor the new secrets stand anywhere in the database."""
    fresh = await site.data("keys/rotate", {"rotate": BOTH})
    async with site.rig.desk.db.transaction() as tx:
        rows = await tx.fetch(
            "SELECT c::text FROM credential c UNION ALL SELECT p::text FROM partner p"
        )
    text = "".join(row[0] for row in rows)
    for secret in (*fresh.values(), site.partner.api_secret, site.partner.webhook_secret):
        assert secret not in text
        assert secret.encode().hex() not in text
