"""GET /api/v1/events and /api/v1/webhook-key: signed over zero bytes, what they answer, how they refuse."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swapdesk.engine.event_log import number_events
from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.webhook_keys import SealedSecrets, renew_key
from swapdesk.orders.order import Order
from swapdesk.webhooks import outbox
from swapdesk.webhooks.deliver import Client, Courier
from swapdesk.webhooks.events import Cleared
from swapdesk.webhooks.outbox import KEY_OVERLAP_MS
from tests.http_site import Site, sign
from tests.rooms.webhook_site import receiving

pytestmark = pytest.mark.anyio

BAD = (400, {"code": 1, "msg": "INVALID_REQUEST"})


async def _get(site: Site, path: str, **how: Any) -> Any:
    return await site.data(path, b"", method="GET", **how)


async def _order(site: Site) -> Order:
    """An order of the site's partner that went NEW, PENDING, EXCHANGE; its events are numbered."""
    site.rig.partner_id = site.partner.partner_id
    order = (await site.rig.open()).view.order
    site.rig.pay(order)
    await site.rig.look()
    await site.rig.mine(count=2)
    await number_events(site.rig.desk)
    return order


async def test_the_log_of_a_partner_without_a_url(site: Site) -> None:
    """Every name in order; bodies are those of the webhook; `next` goes on, `more` says so."""
    order = await _order(site)
    told = await _get(site, "events?after=0&limit=1")
    assert list(told) == ["events", "next", "more", "oldest"]
    assert (told["next"], told["more"], told["oldest"]) == (1, True, 1)
    (event,) = told["events"]
    assert list(event) == ["seq", "id", "body"]
    assert list(event["body"]) == ["event", "order", "ts"]
    assert event["body"]["order"]["id"] == str(order.id)
    assert event["body"]["order"]["status"] == "PENDING"
    told = await _get(site, f"events?after={told['next']}")
    assert [each["body"]["order"]["status"] for each in told["events"]] == ["EXCHANGE"]
    assert (told["next"], told["more"]) == (2, False)
    assert await _get(site, "events?after=2") == {
        "events": [], "next": 2, "more": False, "oldest": 1,
    }  # fmt: skip


async def test_the_log_holds_the_bytes_of_the_webhook(site: Site) -> None:
    """Whoever has code for deliveries can feed it from the log: same id, same body."""
    async with receiving() as receiver:
        async with site.rig.desk.db.transaction() as tx:
            await tx.execute("UPDATE partner SET webhook_url = $1", receiver.url)
        await _order(site)
        answer = await site.call("events", b"", method="GET")
        desk = site.rig.desk
        async with (
            Client(allow_loopback=True) as client,
            Courier(desk.db, desk.world, SealedSecrets(site.sealer), client) as courier,
        ):
            while await courier.round():
                await courier.settled()
    entries = answer.json()["data"]["events"]
    assert [e["id"] for e in entries] == [h["X-Partner-Webhook-Id"] for h, _ in receiver.got]
    for _, body in receiver.got:
        assert body in answer.content


async def test_a_removed_orders_event_has_no_body(site: Site) -> None:
    """The number stays, the body is null."""
    order = await _order(site)
    async with site.rig.desk.db.transaction() as tx:
        await outbox.forget_order(tx, order.id)
    told = await _get(site, "events")
    assert [(each["seq"], each["body"]) for each in told["events"]] == [(1, None), (2, None)]


async def test_partners_see_their_own_events_only(site: Site) -> None:
    """Each has a log of its own that begins with 1."""
    other = await create_partner(site.rig.desk, site.sealer, name="other")
    for partner in (site.partner, other):
        async with site.rig.desk.db.transaction() as tx:
            await outbox.tell_cleared(tx, site.rig.world, partner.partner_id, Cleared(1, 0))
    await number_events(site.rig.desk)
    mine, theirs = await _get(site, "events"), await _get(site, "events", partner=other)
    assert [each["seq"] for each in mine["events"] + theirs["events"]] == [1, 1]
    assert mine["events"][0]["id"] != theirs["events"][0]["id"]


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=", "after=1&after=2", "after=1.0", "after=99999999999999999999",
     "after=9999999999999999999", "limit=0", "limit=101", "limit=1e2", "after=%FF", "limit=\u0663",
     "&".join(f"x{n}=1" for n in range(20))],
)  # fmt: skip
async def test_a_query_that_makes_no_sense(site: Site, query: str) -> None:
    """Code 1, like every ill-formed question."""
    answer = await site.call(f"events?{query}", b"", method="GET")
    assert (answer.status_code, answer.json()) == BAD


@pytest.mark.parametrize("path", ["events", "events?after=0", "webhook-key"])
async def test_the_signature_covers_zero_bytes(site: Site, path: str) -> None:
    """Without one 2, with another body's 3, with a nonce twice 3; weight 1; no other method."""
    nothing = dict.fromkeys(("X-API-KEY", "X-API-SIGN", "X-API-NONCE"))
    answer = await site.call(path, b"", method="GET", headers=nothing)
    assert (answer.status_code, answer.json()["code"]) == (401, 2)
    wrong = {"X-API-SIGN": sign(site.partner.api_secret, b"{}")}
    answer = await site.call(path, b"", method="GET", headers=wrong)
    assert (answer.status_code, answer.json()["code"]) == (401, 3)
    once = {"X-API-NONCE": "n" * 16}
    assert (await site.call(path, b"", method="GET", headers=once)).status_code == 200
    answer = await site.call(path, b"", method="GET", headers=once)
    assert (answer.status_code, answer.json()["code"]) == (401, 3)
    async with site.rig.desk.db.transaction() as tx:
        assert await tx.fetchval("SELECT sum(weight) FROM weight_charge") == 1
    answer = await site.call(path, b"{}", method="POST")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_the_key_of_a_partners_webhooks(site: Site) -> None:
    """One key each, from the start; after a renewal both for a day, the newest first."""
    (first,) = (await _get(site, "webhook-key"))["keys"]
    assert list(first) == ["id", "publicKey", "createdAt", "retiredAt"]
    assert first["retiredAt"] is None
    prefix, _, text = first["publicKey"].partition("_")
    assert prefix == "whpk"
    Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    other = await create_partner(site.rig.desk, site.sealer, name="other")
    (theirs,) = (await _get(site, "webhook-key", partner=other))["keys"]
    assert theirs["publicKey"] != first["publicKey"]
    site.rig.world.at += 1_000
    await renew_key(site.rig.desk, site.sealer, site.partner.partner_id)
    new, old = (await _get(site, "webhook-key"))["keys"]
    assert (old["id"], new["retiredAt"]) == (first["id"], None)
    assert old["retiredAt"] == new["createdAt"]
    site.rig.world.at += KEY_OVERLAP_MS
    assert (await _get(site, "webhook-key"))["keys"] == [new]


async def test_a_partner_from_before_there_were_keys_gets_one(site: Site) -> None:
    """Asking makes the key, once, however many ask."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("DELETE FROM webhook_key")
    first = await _get(site, "webhook-key")
    assert len(first["keys"]) == 1
    assert await _get(site, "webhook-key") == first


def test_bodies_are_json() -> None:
    """A frozen body stands in the answer as it is, so it must be JSON without a line break."""
    from swapdesk.webhooks.events import PaidOut, cleared_body, paid_out_body, probe_body

    for body in (
        cleared_body(Cleared(1, 2), 3), paid_out_body(PaidOut(1, 2, 3, 4, "a\nb"), 5), probe_body(6)
    ):  # fmt: skip
        assert json.loads(body)
        assert b"\n" not in body
