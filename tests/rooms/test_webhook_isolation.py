"""One partner's endpoint is that partner's trouble: it costs the others nothing."""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.webhook_admin import send_test, set_webhook
from swapdesk.partners.partner import Credentials
from swapdesk.webhooks import deliver
from swapdesk.webhooks.deliver import TOTAL_SECONDS, Courier
from swapdesk.webhooks.outbox import LANES_MAX
from tests.postgres import Dsns
from tests.rooms.webhook_site import Post, Receiver, post_on, receiving

pytestmark = pytest.mark.anyio

#: The others are served within this, while a hanging endpoint takes TOTAL_SECONDS to fail.
SOON_SECONDS = TOTAL_SECONDS / 2


@pytest.fixture
async def well() -> AsyncIterator[Receiver]:
    """An endpoint that works."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def hung() -> AsyncIterator[Receiver]:
    """An endpoint that takes every request and answers none."""
    async with receiving() as made:
        made.answering.clear()
        yield made


@pytest.fixture
async def post(desk_dsns: Dsns, well: Receiver) -> AsyncIterator[Post]:
    """A desk whose first partner's endpoint works."""
    async with post_on(desk_dsns.app, well.url) as made:
        yield made


async def _partner(post: Post, name: str, url: str | None) -> Credentials:
    return await create_partner(post.rig.desk, post.sealer, name=name, webhook_url=url)


async def _tell(post: Post, partner: str, count: int) -> None:
    for _ in range(count):
        assert (await send_test(post.rig.desk, partner)).queued


async def _turn_until(couriers: list[Courier], done: Callable[[], bool], seconds: float) -> float:
    """Let couriers work side by side until `done`; how many seconds that took."""
    began = time.monotonic()

    async def work(courier: Courier) -> None:
        while not done():
            await courier.turn()

    async with asyncio.timeout(seconds):
        await asyncio.gather(*(work(courier) for courier in couriers))
    return time.monotonic() - began


async def test_a_hanging_endpoint_slows_nobody_else(
    post: Post, well: Receiver, hung: Receiver
) -> None:
    """Two workers: hundreds of events wait for one who hangs; the other's go out at once.

    Never are more than LANES_MAX deliveries to the hanging one under way, in both together.
    """
    await _partner(post, "hung", hung.url)
    await _tell(post, "hung", 150)
    await _tell(post, "wallet", 60)
    async with post.courier() as one, post.courier() as two:
        await _turn_until([one, two], lambda: len(well.got) == 60, SOON_SECONDS)
        assert well.most_open <= LANES_MAX
        assert hung.open_now == hung.most_open == LANES_MAX
        hung.answering.set()
    assert len({headers["X-Partner-Webhook-Id"] for headers, _ in well.got}) == 60


async def test_an_endpoint_that_fails_gets_one_lane_until_it_works(
    post: Post, well: Receiver
) -> None:
    """After a failure one delivery at a time; after a success all lanes again."""
    await _tell(post, "wallet", 1)
    well.statuses = [500]
    await post.deliver()
    await _tell(post, "wallet", 30)
    well.most_open = 0
    assert await post.deliver() == 1
    assert well.most_open == 1
    assert await post.deliver() == LANES_MAX
    assert well.most_open > 1


async def test_those_who_hang_leave_room_for_those_who_work(
    post: Post, well: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hanging partners than there are slots: half of the slots are never theirs."""
    monkeypatch.setattr(deliver, "SLOTS", 8)
    monkeypatch.setattr(deliver, "TROUBLED_SLOTS", 4)
    async with AsyncExitStack() as stack:
        hung = [await stack.enter_async_context(receiving()) for _ in range(6)]
        for number, each in enumerate(hung):
            each.statuses = [500]
            await _partner(post, f"hung-{number}", each.url)
            await _tell(post, f"hung-{number}", 1)
        await post.deliver()  # from now on they are known to fail
        for number, each in enumerate(hung):
            each.answering.clear()
            await _tell(post, f"hung-{number}", 5)
        courier = await stack.enter_async_context(post.courier())
        assert await courier.round() == 4
        assert await courier.round() == 0
        await _tell(post, "wallet", 20)
        await _turn_until([courier], lambda: len(well.got) == 20, SOON_SECONDS)
        assert sum(each.open_now for each in hung) == 4
        for each in hung:
            each.answering.set()


async def test_a_full_queue_is_its_partners_alone(
    post: Post, well: Receiver, hung: Receiver
) -> None:
    """Twenty thousand events for one who hangs: others' events and orders go on as before."""
    hanging = await _partner(post, "hung", hung.url)
    await _fill(post, hanging.partner_id, 20_000)
    async with post.courier() as courier:
        await courier.round()
        order = await post.paid_in()
        began = time.monotonic()
        await _turn_until([courier], lambda: len(well.got) == 2, SOON_SECONDS)
        assert time.monotonic() - began < SOON_SECONDS
        assert well.statuses_told() == ["PENDING", "EXCHANGE"]
        assert (await post.rig.order(order.id)).shown[-1] == "EXCHANGE"
        hung.answering.set()


async def test_an_unreachable_partner_degrades_alone(post: Post, well: Receiver) -> None:
    """Nobody listens there: its events wait on the ladder, everybody else's arrive."""
    await _partner(post, "gone", well.url)
    await set_webhook(post.rig.desk, "gone", url="http://127.0.0.1:9/hook")
    await _tell(post, "gone", 3)
    await _tell(post, "wallet", 3)
    async with post.courier() as courier:
        await _turn_until([courier], lambda: len(well.got) == 3, SOON_SECONDS)
    waiting = [(attempts, dead) for _, attempts, done, dead in await post.events() if not done]
    assert len(waiting) == 3
    assert not any(dead for _, dead in waiting)


async def _fill(post: Post, partner_id: uuid.UUID, count: int) -> None:
    """Queue `count` events at once."""
    async with post.rig.desk.db.transaction() as tx:
        await tx.execute(
            "WITH v AS (INSERT INTO webhook_event (id, partner_id, event, status, body, created_ms)"
            " SELECT gen_random_uuid(), $1, 'webhook.test', n::text, '{}', $2"
            "   FROM generate_series(1, $3::integer) n RETURNING id)"
            " INSERT INTO webhook_delivery (event_id, partner_id, created_ms, due_ms)"
            " SELECT id, $1, $2, $2 FROM v",
            partner_id, post.rig.world.now(), count,
        )  # fmt: skip


async def test_names_are_looked_up_apart(post: Post, well: Receiver) -> None:
    """A look-up takes no thread that the rest of the process needs; one that fails is a failure."""
    await _partner(post, "lost", "http://localhost:1/")
    async with post.rig.desk.db.transaction() as tx:
        await tx.execute(
            "UPDATE partner SET webhook_url = 'https://nowhere.invalid/' WHERE name = 'lost'"
        )
    await set_webhook(post.rig.desk, "wallet", url=well.url.replace("127.0.0.1", "localhost"))
    await _tell(post, "lost", 1)
    await _tell(post, "wallet", 1)
    blocked = threading.Event()
    pool = asyncio.get_running_loop()
    sleepers = [pool.run_in_executor(None, blocked.wait) for _ in range(64)]  # the default pool
    async with post.courier() as courier:
        await _turn_until([courier], lambda: len(well.got) == 1, SOON_SECONDS)
    blocked.set()
    await asyncio.gather(*sleepers)
    assert sorted(done for _, _, done, _ in await post.events()) == [False, True]
