"""The contract's rows about webhooks, each with a test that names it: A10, D48, D52-D59, E5, E9, E27.

Real HTTP on loopback. What takes more than one look (the ladder, the hold-back, leases, where a
webhook may go) is in test_webhooks.py, who slows whom in test_webhook_isolation.py.
"""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.webhook_admin import renew_secret, send_test, set_webhook
from swapdesk.engine.webhook_keys import public_keys, renew_key
from swapdesk.webhooks import outbox
from swapdesk.webhooks.deliver import TOTAL_SECONDS
from swapdesk.webhooks.events import (
    EVENTS,
    HOLD_BACK_MS,
    LADDER_MS,
    Cleared,
    PaidOut,
    instant,
)
from swapdesk.webhooks.outbox import KEY_OVERLAP_MS
from tests.http_site import sign
from tests.postgres import Dsns
from tests.rooms.webhook_site import Post, Receiver, post_on, receiving

pytestmark = pytest.mark.anyio

PAID = PaidOut(
    paid_out_ms=1_778_661_731_000, period_from_ms=1_775_001_600_000,
    period_to_ms=1_777_593_600_007, total_usd=1_234_560_000_000_000, reference="4a5e1e4b",
)  # fmt: skip
CLEARED = Cleared(cleared_ms=1_778_661_731_042, total_usd=9_999_999_999_999)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A listening endpoint."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def post(desk_dsns: Dsns, receiver: Receiver) -> AsyncIterator[Post]:
    """A desk whose partner is the receiver and wants every event."""
    async with post_on(desk_dsns.app, receiver.url) as made:
        await set_webhook(made.rig.desk, "wallet", events=EVENTS)
        yield made


async def _told(post: Post, receiver: Receiver) -> Any:
    """The one event that is due, as the receiver reads it."""
    assert await post.deliver() == 1
    return json.loads(receiver.got[-1][1])


async def test_a10_headers(post: Post, receiver: Receiver) -> None:
    """A10: POST; JSON; event, seconds, lower-case hex HMAC of the raw body under the secret."""
    await send_test(post.rig.desk, "wallet")
    await post.deliver()
    ((headers, body),) = receiver.got
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Partner-Webhook-Event"] == json.loads(body)["event"]
    assert headers["X-Partner-Webhook-Timestamp"] == str(post.rig.world.now() // 1000)
    assert headers["X-Partner-Webhook-Sign"] == sign(post.partner.webhook_secret, body)


async def test_a10_order_status_changed(post: Post, receiver: Receiver) -> None:
    """A10: `order` holds the whole DTO without a token, `ts` milliseconds; NEW is none (D55)."""
    order = await post.order()
    assert await post.deliver() == 0
    post.rig.pay(order)
    await post.rig.look()
    told = await _told(post, receiver)
    assert list(told) == ["event", "order", "ts"]
    assert told["event"] == "order.status_changed"
    assert told["ts"] == post.rig.world.now()
    assert list(told["order"]) == [
        "id", "type", "status", "time", "from", "to", "back", "emergency", "rate", "networkFee",
        "markupBps",
    ]  # fmt: skip
    assert told["order"]["status"] == "PENDING"


async def test_a10_partner_paid_out(post: Post, receiver: Receiver) -> None:
    """A10, D48: `payout` with ISO times, dollars of two digits, the operator's reference; once."""
    async with post.rig.desk.db.transaction() as tx:
        partner_id, world = post.partner.partner_id, post.rig.world
        assert await outbox.tell_paid_out(tx, world, partner_id, PAID)
        assert not await outbox.tell_paid_out(tx, world, partner_id, PAID)
    assert await _told(post, receiver) == {
        "event": "partner.paid_out",
        "payout": {
            "paidOutAt": "2026-05-13T08:42:11.000Z",
            "periodFrom": "2026-04-01T00:00:00.000Z",
            "periodTo": "2026-05-01T00:00:00.007Z",
            "totalUsd": "1234.56",
            "reference": "4a5e1e4b",
        },
        "ts": post.rig.world.now(),
    }


async def test_a10_earnings_cleared(post: Post, receiver: Receiver) -> None:
    """A10, D48: `earnings` with the time of the reset and what was reset, cut to cents; once."""
    async with post.rig.desk.db.transaction() as tx:
        partner_id, world = post.partner.partner_id, post.rig.world
        assert await outbox.tell_cleared(tx, world, partner_id, CLEARED)
        assert not await outbox.tell_cleared(tx, world, partner_id, CLEARED)
    assert await _told(post, receiver) == {
        "event": "earnings.cleared",
        "earnings": {"clearedAt": "2026-05-13T08:42:11.042Z", "totalUsd": "9.99"},
        "ts": post.rig.world.now(),
    }


async def test_a10_every_type_is_opt_in(post: Post, receiver: Receiver) -> None:
    """A10: a new partner gets order.status_changed and nothing else, until it asks for more."""
    new = await create_partner(post.rig.desk, post.sealer, name="new", webhook_url=receiver.url)
    async with post.rig.desk.db.transaction() as tx:
        await outbox.tell_paid_out(tx, post.rig.world, new.partner_id, PAID)
        await outbox.tell_cleared(tx, post.rig.world, new.partner_id, CLEARED)
    assert await post.deliver() == 0
    await set_webhook(post.rig.desk, "new", events=["earnings.cleared"])
    async with post.rig.desk.db.transaction() as tx:
        await outbox.tell_paid_out(tx, post.rig.world, new.partner_id, PaidOut(2, 0, 1, 0, ""))
        await outbox.tell_cleared(tx, post.rig.world, new.partner_id, Cleared(2, 0))
    assert (await _told(post, receiver))["event"] == "earnings.cleared"


async def test_a10_bodies_are_frozen(post: Post, receiver: Receiver) -> None:
    """A10, D53: what is late still tells its own state, one event per change, same signature."""
    receiver.statuses = [500]
    await post.paid_in()
    await post.deliver()
    post.rig.world.at += 10_000
    for _ in range(2):
        await post.deliver()
    first, again, exchange = receiver.got
    assert first[1] == again[1]
    assert first[0]["X-Partner-Webhook-Sign"] == again[0]["X-Partner-Webhook-Sign"]
    assert receiver.statuses_told() == ["PENDING", "PENDING", "EXCHANGE"]
    assert json.loads(exchange[1])["order"]["status"] == "EXCHANGE"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_a10_any_2xx_is_success(post: Post, receiver: Receiver, status: int) -> None:
    """A10: any 2xx within 10 s."""
    receiver.statuses = [status]
    await send_test(post.rig.desk, "wallet")
    await post.deliver()
    ((_, attempts, delivered, _),) = await post.events()
    assert (attempts, delivered, TOTAL_SECONDS) == (1, True, 10)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 429, 500])
async def test_d52_anything_else_is_retried(post: Post, receiver: Receiver, status: int) -> None:
    """D52: non-2xx, redirects and 410 included, climbs the ladder; redirects are not followed."""
    receiver.statuses, receiver.headers = [status], {"Location": receiver.url}
    await send_test(post.rig.desk, "wallet")
    await post.deliver()
    ((_, attempts, delivered, dead),) = await post.events()
    assert (attempts, delivered, dead, len(receiver.got)) == (1, False, False, 1)


def test_d52_the_ladder() -> None:
    """D52: eight attempts in about 8.7 hours."""
    assert [ms // 1000 for ms in LADDER_MS] == [0, 10, 30, 120, 600, 1_800, 7_200, 21_600]


async def test_d53_the_timestamp_is_the_attempts(post: Post, receiver: Receiver) -> None:
    """D53, E5: re-stamped per try, so that a receiver's 300 s window lets late tries in."""
    receiver.statuses = [500]
    await send_test(post.rig.desk, "wallet")
    await post.deliver()
    post.rig.world.at += 400_000
    await post.deliver()
    stamps = [int(headers["X-Partner-Webhook-Timestamp"]) for headers, _ in receiver.got]
    assert stamps[1] - stamps[0] == 400
    assert [int(headers["webhook-timestamp"]) for headers, _ in receiver.got] == stamps


def test_d54_the_hold_back() -> None:
    """D54: the first ten minutes; test_webhooks.py shows what it holds back."""
    assert HOLD_BACK_MS == 600_000


async def test_d56_e27_rotation_with_queued_deliveries(post: Post, receiver: Receiver) -> None:
    """D56, E27: signed at send time; the try before the rotation by the old, the one after by the new."""
    receiver.statuses = [500]
    await send_test(post.rig.desk, "wallet")
    await post.deliver()
    fresh = await renew_secret(post.rig.desk, post.sealer, "wallet")
    post.rig.world.at += 10_000
    await post.deliver()
    old, new = [(h["X-Partner-Webhook-Sign"], body) for h, body in receiver.got]
    assert old[0] == sign(post.partner.webhook_secret, old[1])
    assert new == (sign(fresh, old[1]), old[1])


async def test_d57_the_delivery_id(post: Post, receiver: Receiver) -> None:
    """D57: additive, one per event, the same at every try."""
    receiver.statuses = [500]
    for _ in range(2):
        await send_test(post.rig.desk, "wallet")
    while len(receiver.got) < 3:
        await post.deliver()
        post.rig.world.at += 10_000
    ids = [uuid.UUID(headers["X-Partner-Webhook-Id"]) for headers, _ in receiver.got]
    assert (len(ids), len(set(ids))) == (3, 2)


async def test_d58_without_a_url_nothing_is_queued(post: Post, receiver: Receiver) -> None:
    """D58: dropped for delivery, for good; the event log has it all the same."""
    await set_webhook(post.rig.desk, "wallet", url=None)
    post.rig.pay(await post.order())
    await post.rig.look()
    await set_webhook(post.rig.desk, "wallet", url=receiver.url)
    assert await post.deliver() == 0
    async with post.rig.desk.db.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM webhook_event") == 1


async def test_d58_d59_a_removed_orders_deliveries_are_discarded(
    post: Post, receiver: Receiver
) -> None:
    """D58, D59: queued bodies go with their order, also while a delivery is on the ladder."""
    receiver.statuses = [500]
    order = await post.paid_in()
    await post.deliver()
    async with post.rig.desk.db.transaction() as tx:
        await outbox.forget_order(tx, order.id)
        assert await tx.fetchval("SELECT count(*) FROM webhook_event WHERE body IS NOT NULL") == 0
    post.rig.world.at += 86_400_000
    assert await post.deliver() == 0
    assert len(receiver.got) == 1


async def test_e9_no_status_is_told_twice(post: Post) -> None:
    """E9: the database itself refuses a second event with the receivers' dedupe key."""
    order = await post.paid_in()
    async with post.rig.desk.db.transaction() as tx:
        told = await tx.fetch("SELECT status FROM webhook_event WHERE order_id = $1", order.id)
        again = await tx.execute(
            "INSERT INTO webhook_event (id, partner_id, order_id, event, status, created_ms)"
            " VALUES ($1, $2, $3, 'order.status_changed', 'PENDING', 1) ON CONFLICT DO NOTHING",
            uuid.uuid4(), order.partner_id, order.id,
        )  # fmt: skip
    assert sorted(row["status"] for row in told) == ["EXCHANGE", "PENDING"]
    assert again == "INSERT 0 0"


async def test_e5_standard_webhooks_sign_the_time_too(post: Post, receiver: Receiver) -> None:
    """E5: Ed25519 over id.timestamp.body with the partner's own key; two during an overlap."""
    desk, partner_id = post.rig.desk, post.partner.partner_id
    (old,) = await public_keys(desk, post.sealer, partner_id)
    await send_test(desk, "wallet")
    await post.deliver()
    _signed_by(receiver, old.public_key)
    post.rig.world.at += 1
    new, _ = await renew_key(desk, post.sealer, partner_id)
    await send_test(desk, "wallet")
    await post.deliver()
    _signed_by(receiver, new.public_key, old.public_key)
    post.rig.world.at += KEY_OVERLAP_MS
    await send_test(desk, "wallet")
    await post.deliver()
    _signed_by(receiver, new.public_key)


async def test_e5_no_two_partners_share_a_key(post: Post) -> None:
    """E5: what one partner was told cannot be shown to another as if it were told to that one."""
    other = await create_partner(post.rig.desk, post.sealer, name="other")
    mine = await public_keys(post.rig.desk, post.sealer, post.partner.partner_id)
    theirs = await public_keys(post.rig.desk, post.sealer, other.partner_id)
    assert mine[0].public_key != theirs[0].public_key
    async with post.rig.desk.db.transaction() as tx:
        sealed = await tx.fetchval("SELECT string_agg(private_sealed, '') FROM webhook_key")
    assert mine[0].public_key not in sealed


def test_instants() -> None:
    """ISO 8601 with milliseconds, as codes have it."""
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(1_778_661_731_009) == "2026-05-13T08:42:11.009Z"


def _signed_by(receiver: Receiver, *keys: bytes) -> None:
    """The last delivery is signed by these keys in this order, and by no other."""
    headers, body = receiver.got[-1]
    assert headers["webhook-id"] == headers["X-Partner-Webhook-Id"]
    assert headers["webhook-timestamp"] == headers["X-Partner-Webhook-Timestamp"]
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for key, each in zip(keys, headers["webhook-signature"].split(" "), strict=True):
        version, _, text = each.partition(",")
        assert version == "v1a"
        Ed25519PublicKey.from_public_bytes(key).verify(
            base64.b64decode(text, validate=True), message
        )
