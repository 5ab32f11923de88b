"""Webhooks: bodies, signatures, retries, order, and where they may go. Real HTTP on loopback."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from swapdesk.webhooks import outbox
from swapdesk.webhooks.deliver import ANSWER_BYTES_MAX, Client
from swapdesk.webhooks.events import HOLD_BACK_MS, LADDER_MS, next_try_ms
from swapdesk.webhooks.signing import signature
from tests.http_site import sign
from tests.postgres import Dsns
from tests.rooms.webhook_site import Post, Receiver, post_on, receiving

anyio = pytest.mark.anyio


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


@anyio
async def test_every_step_is_told_once_signed_and_in_order(post: Post, receiver: Receiver) -> None:
    """PENDING then EXCHANGE, one at a time; frozen bodies, true signatures; NEW is no event."""
    order = await post.paid_in()
    now = post.rig.world.now()
    assert await post.deliver() == 1  # the second waits for the first
    post.rig.world.at += 5_000
    assert await post.deliver() == 1
    assert await post.deliver() == 0
    assert receiver.statuses_told() == ["PENDING", "EXCHANGE"]
    for headers, body in receiver.got:
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Partner-Webhook-Event"] == "order.status_changed"
        assert headers["X-Partner-Webhook-Sign"] == sign(post.partner.webhook_secret, body)
        assert uuid.UUID(headers["X-Partner-Webhook-Id"])
        event = json.loads(body)
        assert list(event) == ["event", "order", "ts"]
        assert event["event"] == "order.status_changed"
        assert event["order"]["id"] == str(order.id)
        assert "token" not in event["order"]
        assert event["ts"] <= now  # milliseconds, of when it happened
    stamps = [int(headers["X-Partner-Webhook-Timestamp"]) for headers, _ in receiver.got]
    assert stamps == [now // 1000, now // 1000 + 5]
    assert await post.events() == [("PENDING", 1, True, False), ("EXCHANGE", 1, True, False)]


@anyio
async def test_the_ladder(post: Post, receiver: Receiver) -> None:
    """Eight attempts at the contract's distances, same bytes, fresh stamps; then a dead letter."""
    receiver.statuses = [500, 301, 404, 410, 429, 503, 400, 500, 500]
    order = await post.order()
    post.rig.pay(order)
    await post.rig.look()
    waits = []
    while not (await post.events())[0][3]:
        last = post.rig.world.now()
        while await post.deliver() == 0:
            post.rig.world.at += 5_000
        waits.append((post.rig.world.now() - last) // 1000)
    assert waits == [0, 10, 30, 120, 600, 1_800, 7_200, 21_600]
    assert sum(waits) * 1000 == sum(LADDER_MS)
    assert len({body for _, body in receiver.got}) == 1
    assert len({headers["X-Partner-Webhook-Sign"] for headers, _ in receiver.got}) == 1
    assert len({headers["X-Partner-Webhook-Timestamp"] for headers, _ in receiver.got}) == 8
    post.rig.world.at += 86_400_000
    assert await post.deliver() == 0
    async with post.rig.desk.db.transaction() as tx:
        (letter,) = await outbox.dead(tx, None, 10)
    assert (letter.attempt, letter.last_error) == (8, "status 500")


def test_the_ladder_is_data() -> None:
    """Seven waits after failures, then none; the hold-back is reached within the ladder."""
    assert [next_try_ms(made, 0) for made in range(1, 9)] == [*LADDER_MS[1:], None]
    assert HOLD_BACK_MS == 600_000
    assert signature("test-secret", b"{}") == sign("test-secret", b"{}")


@anyio
async def test_a_stuck_event_holds_back_its_order_for_ten_minutes_only(
    post: Post, receiver: Receiver
) -> None:
    """Later events of the same order wait, those of other orders do not; then all go."""
    receiver.statuses = [500] * 4
    await post.paid_in()
    assert await post.deliver() == 1
    assert receiver.statuses_told() == ["PENDING"]
    receiver.statuses = []
    other = await post.order()
    post.rig.pay(other)
    await post.rig.look()
    assert await post.deliver() == 1
    assert json.loads(receiver.got[-1][1])["order"]["id"] == str(other.id)
    receiver.statuses = [500] * 20
    for _ in range(130):
        post.rig.world.at += 5_000
        await post.deliver()
    assert "EXCHANGE" in receiver.statuses_told()
    first = receiver.statuses_told().index("EXCHANGE")
    told_at = int(receiver.got[first][0]["X-Partner-Webhook-Timestamp"]) * 1000
    opened = json.loads(receiver.got[0][1])["ts"]
    assert told_at - opened >= HOLD_BACK_MS


@anyio
async def test_two_workers_never_deliver_the_same_event(post: Post, receiver: Receiver) -> None:
    """Twenty orders, two events each, four workers at once: forty deliveries, each its own."""
    for _ in range(20):
        post.rig.pay(await post.order())
    await post.rig.look()
    await post.rig.mine(count=2)
    for _ in range(20):
        await asyncio.gather(*(post.deliver() for _ in range(4)))
        if len(receiver.got) >= 40:
            break
    ids = [headers["X-Partner-Webhook-Id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 40
    assert receiver.most_open > 1  # side by side across orders
    by_order: dict[str, list[str]] = {}
    for _, body in receiver.got:
        told = json.loads(body)["order"]
        by_order.setdefault(told["id"], []).append(told["status"])
    assert set(map(tuple, by_order.values())) == {("PENDING", "EXCHANGE")}


@anyio
async def test_a_worker_that_died_is_replaced_when_its_lease_runs_out(
    post: Post, receiver: Receiver
) -> None:
    """Claimed and never settled: nobody touches it for the lease, then it is delivered."""
    order = await post.order()
    post.rig.pay(order)
    await post.rig.look()
    async with post.rig.desk.db.transaction() as tx:
        (lost,) = await outbox.claim(tx, post.rig.world.now(), 10)
    assert await post.deliver() == 0
    post.rig.world.at += outbox.LEASE_MS
    assert await post.deliver() == 1
    async with post.rig.desk.db.transaction() as tx:  # the dead worker wakes up: too late
        await outbox.failed(tx, lost, "timeout", None, post.rig.world.now())
    assert await post.events() == [("PENDING", 2, True, False)]
    assert len(receiver.got) == 1


@anyio
async def test_redirects_are_not_followed(post: Post, receiver: Receiver) -> None:
    """A redirect is a failure, and nobody visits where it leads."""
    receiver.statuses, receiver.headers = [307], {"Location": receiver.url + "?again"}
    post.rig.pay(await post.order())
    await post.rig.look()
    await post.deliver()
    assert len(receiver.got) == 1
    assert (await post.events())[0][:3] == ("PENDING", 1, False)


@anyio
async def test_an_endless_answer_is_not_read(post: Post, receiver: Receiver) -> None:
    """The status decides; a body is read no further than its cap."""
    receiver.body = b"x" * (50 * ANSWER_BYTES_MAX)
    post.rig.pay(await post.order())
    await post.rig.look()
    await post.deliver()
    assert (await post.events())[0] == ("PENDING", 1, True, False)


@anyio
async def test_a_silent_receiver_costs_its_seconds(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers: a failure after the time-out, told as such."""
    monkeypatch.setattr("swapdesk.webhooks.deliver.TOTAL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        async with post.rig.desk.db.transaction() as tx:
            await tx.execute("UPDATE partner SET webhook_url = $1", url)
        post.rig.pay(await post.order())
        await post.rig.look()
        assert await post.deliver() == 1
    async with post.rig.desk.db.transaction() as tx:
        assert "no answer" in await tx.fetchval("SELECT last_error FROM webhook_delivery")


@anyio
@pytest.mark.parametrize("change", ["webhook_url = NULL", "webhook_events = '{}'"])
async def test_who_wants_none_gets_none(post: Post, receiver: Receiver, change: str) -> None:
    """Without a URL or the subscription nothing is queued."""
    async with post.rig.desk.db.transaction() as tx:
        await tx.execute(f"UPDATE partner SET {change}")
    await post.paid_in()
    assert await post.events() == []
    assert await post.deliver() == 0
    assert receiver.got == []


@anyio
async def test_a_url_that_was_taken_away_ends_its_events(post: Post, receiver: Receiver) -> None:
    """What was queued before is a dead letter, not an eternal retry."""
    post.rig.pay(await post.order())
    await post.rig.look()
    async with post.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET webhook_url = NULL")
    assert await post.deliver() == 1
    assert await post.events() == [("PENDING", 1, False, True)]
    assert receiver.got == []


@anyio
async def test_without_the_switch_loopback_is_out_of_reach(post: Post, receiver: Receiver) -> None:
    """The development switch is off: neither http nor a name that leads here is connected."""
    post.rig.pay(await post.order())
    await post.rig.look()
    assert await post.deliver(allow_loopback=False) == 1
    port = receiver.url.split(":")[2].split("/")[0]
    async with post.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET webhook_url = $1", f"https://localhost:{port}/hook")
    post.rig.world.at += 10_000
    assert await post.deliver(allow_loopback=False) == 1
    assert receiver.got == []
    async with post.rig.desk.db.transaction() as tx:
        assert "not a public address" in await tx.fetchval(
            "SELECT last_error FROM webhook_delivery"
        )


@anyio
async def test_the_guard_sees_the_address_that_is_connected(receiver: Receiver) -> None:
    """A name that resolves to loopback (rebinding) is stopped at the socket, not at the name."""
    port = receiver.url.split(":")[2].split("/")[0]
    refusing: list[Callable[[Client], Awaitable[int]]] = [
        lambda client: client.post(f"http://localhost:{port}/hook", b"", {}),
        lambda client: client.post(receiver.url, b"", {}),
    ]
    async with Client() as client:
        for attempt in refusing:
            with pytest.raises(OSError, match="not a public address"):
                await attempt(client)
    assert receiver.got == []
