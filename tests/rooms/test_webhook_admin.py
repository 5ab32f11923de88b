"""Looking after webhooks: dead letters, redelivery, the test event, URL, subscription, secrets."""

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.webhook_admin import (
    dead_letters,
    redeliver,
    renew_secret,
    send_test,
    set_webhook,
    webhook_of,
)
from swapdesk.errors import No, Refused
from swapdesk.webhooks.events import EVENTS
from tests.http_site import sign
from tests.postgres import Dsns
from tests.rooms import test_console
from tests.rooms.test_console import Console
from tests.rooms.webhook_site import Post, Receiver, post_on, receiving

pytestmark = pytest.mark.anyio

console = test_console.console
NOBODY = uuid.UUID(int=404)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A listening endpoint."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def post(desk_dsns: Dsns, receiver: Receiver) -> AsyncIterator[Post]:
    """A desk whose partner is the receiver."""
    async with post_on(desk_dsns.app, receiver.url) as made:
        yield made


async def _dead(post: Post, receiver: Receiver) -> uuid.UUID:
    """The id of a dead letter of the partner."""
    receiver.statuses = [500] * 8
    post.rig.pay(await post.order())
    await post.rig.look()
    while not (letters := await dead_letters(post.rig.desk)):
        post.rig.world.at += 5_000_000
        await post.deliver()
    return letters[0].id


async def test_redelivery_keeps_id_and_bytes(post: Post, receiver: Receiver) -> None:
    """A dead letter comes back under its id and climbs the whole ladder again."""
    event_id = await _dead(post, receiver)
    (letter,) = await dead_letters(post.rig.desk, partner_id=post.partner.partner_id)
    assert (letter.partner, letter.event) == ("wallet", "order.status_changed")
    assert (letter.status, letter.attempt, letter.last_error) == ("PENDING", 8, "status 500")
    await redeliver(post.rig.desk, event_id)
    assert await dead_letters(post.rig.desk) == []
    assert await post.deliver() == 1
    assert await post.events() == [("PENDING", 1, True, False)]
    assert {headers["X-Partner-Webhook-Id"] for headers, _ in receiver.got} == {str(event_id)}
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {str(event_id)}
    assert len({body for _, body in receiver.got}) == 1
    await redeliver(post.rig.desk, event_id)  # also what was delivered
    assert await post.deliver() == 1
    assert len(receiver.got) == 10


async def test_redelivery_reaches_an_event_that_was_never_delivered(
    post: Post, receiver: Receiver
) -> None:
    """Told while there was no URL: in the log, and deliverable once there is one."""
    await set_webhook(post.rig.desk, "wallet", url=None)
    sent = await send_test(post.rig.desk, "wallet")
    assert not sent.queued
    with pytest.raises(Refused):
        await redeliver(post.rig.desk, sent.id)
    await set_webhook(post.rig.desk, "wallet", url=receiver.url)
    await redeliver(post.rig.desk, sent.id)
    assert await post.deliver() == 1


async def test_nobody_redelivers_what_is_not_his(post: Post, receiver: Receiver) -> None:
    """The cabinet names its partner; unknown, foreign and under way are one answer."""
    event_id = await _dead(post, receiver)
    desk = post.rig.desk
    assert await dead_letters(desk, partner_id=NOBODY) == []
    for wrong, partner in ((event_id, NOBODY), (NOBODY, None), (NOBODY, post.partner.partner_id)):
        with pytest.raises(Refused) as no:
            await redeliver(desk, wrong, partner_id=partner)
        assert no.value.no is No.NOT_FOUND
    await redeliver(desk, event_id, partner_id=post.partner.partner_id)
    receiver.answering.clear()
    async with post.courier() as courier:
        await courier.round()
        with pytest.raises(Refused):
            await redeliver(desk, event_id)
        receiver.answering.set()


async def test_the_test_event_goes_through_the_same_pipe(post: Post, receiver: Receiver) -> None:
    """Whatever the subscription: signed, numbered in the log, with a body of its own."""
    await set_webhook(post.rig.desk, "wallet", events=[])
    sent = await send_test(post.rig.desk, str(post.partner.partner_id))
    assert sent.queued
    assert await post.deliver() == 1
    ((headers, body),) = receiver.got
    assert headers["X-Partner-Webhook-Event"] == "webhook.test"
    assert headers["X-Partner-Webhook-Id"] == str(sent.id)
    assert headers["X-Partner-Webhook-Sign"] == sign(post.partner.webhook_secret, body)
    told = json.loads(body)
    assert list(told) == ["event", "test", "ts"]
    assert (told["event"], told["ts"]) == ("webhook.test", post.rig.world.now())


async def test_where_events_go(post: Post) -> None:
    """Public https, or loopback in dev; known events in one order; what is left out stays."""
    desk = post.rig.desk
    known = await webhook_of(desk, "wallet")
    assert known.events == ("order.status_changed",)  # a new partner starts with this one
    kept = await set_webhook(desk, "wallet", events=["earnings.cleared", "order.status_changed"])
    assert (kept.url, kept.events) == (known.url, ("order.status_changed", "earnings.cleared"))
    kept = await set_webhook(desk, "wallet", url="https://blue.example/hook")
    assert kept == await webhook_of(desk, "wallet")
    assert kept.events == ("order.status_changed", "earnings.cleared")
    assert (await set_webhook(desk, "wallet", events=EVENTS)).events == EVENTS
    for url in ("http://blue.example/", "https://10.0.0.1/", "ftp://blue.example", "https://u@b.c"):
        with pytest.raises(Refused) as no:
            await set_webhook(desk, "wallet", url=url)
        assert no.value.no is No.INVALID
    with pytest.raises(Refused) as no:
        await set_webhook(desk, "wallet", events=["order.created"])
    assert no.value.no is No.INVALID
    with pytest.raises(Refused) as no:
        await set_webhook(desk, "nobody", url=None)
    assert no.value.no is No.NOT_FOUND


async def test_a_partner_named_like_anothers_id_is_not_that_one(post: Post) -> None:
    """An id is looked at first, so that nobody can be created in its way."""
    name = str(post.partner.partner_id)
    await create_partner(post.rig.desk, post.sealer, name=name)
    assert (await webhook_of(post.rig.desk, name)).name == "wallet"


async def test_a_new_secret_signs_what_is_queued(post: Post, receiver: Receiver) -> None:
    """Signed when it is sent: after a rotation the old secret signs nothing any more."""
    await send_test(post.rig.desk, "wallet")
    fresh = await renew_secret(post.rig.desk, post.sealer, "wallet")
    assert fresh != post.partner.webhook_secret
    await post.deliver()
    ((headers, body),) = receiver.got
    assert headers["X-Partner-Webhook-Sign"] == sign(fresh, body)


async def test_the_operators_commands(console: Console) -> None:
    """set shows and changes, test queues, dead lists, redeliver refuses what it does not know."""
    await console.json("partner", "create", "blue")
    told = await console.json("partner", "set", "blue")
    assert (told["url"], told["events"]) == (None, ["order.status_changed"])
    assert "event log only" in await console.ok("webhook", "test", "blue")
    told = await console.json(
        "partner", "set", "blue", "--webhook-url", "https://blue.example/hook",
        "--event", "partner.paid_out", "--new-webhook-secret",
    )  # fmt: skip
    assert (told["url"], told["events"]) == ("https://blue.example/hook", ["partner.paid_out"])
    assert len(told["webhookSecret"]) == 43
    sent = await console.json("webhook", "test", "blue")
    assert sent["queued"]
    (old,) = (await console.json("partner", "set", "blue"))["publicKeys"]
    keys = (await console.json("partner", "set", "blue", "--new-webhook-key"))["publicKeys"]
    assert keys[1] == old
    assert "none" in await console.ok("partner", "set", "blue", "--no-webhook-url", "--no-events")
    async with console.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE webhook_delivery SET dead_ms = 1, attempt = 8")
    assert sent["id"] in await console.ok("webhook", "dead", "--partner", "blue")
    refused = await console.run("webhook", "redeliver", sent["id"])
    assert (refused.exit_code, "no webhook URL" in refused.stderr) == (1, True)
    await console.ok("partner", "set", "blue", "--webhook-url", "https://blue.example/hook")
    assert "queued again" in await console.ok("webhook", "redeliver", sent["id"])
    assert "none" in await console.ok("webhook", "dead")
    assert (await console.run("webhook", "dead", "--partner", "nobody")).exit_code == 1
    both = await console.run("partner", "set", "blue", "--no-events", "--event", "partner.paid_out")
    assert both.exit_code == 2
