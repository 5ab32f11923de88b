"""The event log: every committed event gets the next number, nothing is skipped, old ones go."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from swapdesk.db import Database
from swapdesk.engine.desk import Desk
from swapdesk.engine.event_log import KEPT_MS_MIN, forget_events, number_events, read_events
from swapdesk.errors import No, Refused
from swapdesk.webhooks import log, outbox
from swapdesk.webhooks.events import Cleared
from tests.postgres import Dsns
from tests.rig import Rig, TestWorld, rig_on

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk on simulated chains."""
    async with rig_on(desk_dsns.app) as made:
        yield made


async def _seqs(desk: Desk, partner_id: uuid.UUID, after: int = 0) -> list[int]:
    return [entry.seq for entry in (await read_events(desk, partner_id, after)).entries]


async def test_an_order_in_the_log(rig: Rig) -> None:
    """Its statuses in the order they were told, numbered from 1, with the bytes of the webhook."""
    order = (await rig.open()).view.order
    rig.pay(order)
    await rig.look()
    await rig.mine(count=2)
    assert await _seqs(rig.desk, rig.partner_id) == []  # not numbered yet
    assert await number_events(rig.desk) == 2
    page = await read_events(rig.desk, rig.partner_id, 0)
    assert [entry.seq for entry in page.entries] == [1, 2]
    assert (page.more, page.oldest) == (False, 1)
    told = [json.loads(entry.body or b"")["order"] for entry in page.entries]
    assert [each["status"] for each in told] == ["PENDING", "EXCHANGE"]
    async with rig.desk.db.transaction() as tx:
        rows = await tx.fetch("SELECT id, body FROM webhook_event ORDER BY created_ms")
    assert [(entry.id, entry.body) for entry in page.entries] == [tuple(row) for row in rows]


@pytest.mark.parametrize("change", ["webhook_url = NULL", "webhook_events = '{}'"])
async def test_the_log_needs_neither_url_nor_subscription(rig: Rig, change: str) -> None:
    """The log is the source of truth; what is delivered is the partner's choice."""
    async with rig.desk.db.transaction() as tx:
        await tx.execute(f"UPDATE partner SET {change}")
        assert await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(1, 0))
        assert await tx.fetchval("SELECT count(*) FROM webhook_delivery") == 0
    await number_events(rig.desk)
    assert await _seqs(rig.desk, rig.partner_id) == [1]


async def test_a_transaction_held_open_across_a_poll_skips_nothing(
    rig: Rig, desk_dsns: Dsns
) -> None:
    """It began first and commits last: a reader who is past the others still gets its event."""
    slow = await asyncpg.connect(desk_dsns.app)
    held = slow.transaction()
    await held.start()
    assert await outbox.tell_cleared(slow, rig.world, rig.partner_id, Cleared(1, 0))
    rig.world.at += 1_000
    async with rig.desk.db.transaction() as tx:
        await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(2, 0))
    assert await number_events(rig.desk) == 1
    (seen,) = (await read_events(rig.desk, rig.partner_id, 0)).entries
    assert (seen.seq, b"1970-01-01T00:00:00.002Z" in (seen.body or b"")) == (1, True)
    assert await number_events(rig.desk) == 0
    assert await _seqs(rig.desk, rig.partner_id, after=1) == []
    await held.commit()
    await slow.close()
    assert await number_events(rig.desk) == 1
    (late,) = (await read_events(rig.desk, rig.partner_id, 1)).entries
    assert (late.seq, b"1970-01-01T00:00:00.001Z" in (late.body or b"")) == (2, True)


async def test_a_held_counter_is_left_to_its_holder(rig: Rig, desk_dsns: Dsns) -> None:
    """A second worker does not wait for the first, gives no number twice, and misses none."""
    async with rig.desk.db.transaction() as tx:
        await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(1, 0))
    other = await asyncpg.connect(desk_dsns.app)
    async with other.transaction():
        await other.execute("SELECT 1 FROM event_counter FOR UPDATE")
        assert await number_events(rig.desk) == 0
    await other.close()
    assert await number_events(rig.desk) == 1


async def test_two_workers_number_at_once(rig: Rig, desk_dsns: Dsns) -> None:
    """While eight connections tell, two workers number: each partner's log is 1, 2, 3 ... n."""
    partners = [rig.partner_id, await _partner(rig), await _partner(rig)]
    workers = [await Database.open(desk_dsns.app, name=f"worker-{n}") for n in range(2)]
    told, total = 0, 120
    polled: dict[uuid.UUID, list[int]] = {partner: [] for partner in partners}

    async def tell(lane: int) -> None:
        nonlocal told
        for n in range(lane, total, 8):
            async with workers[lane % 2].transaction() as tx:
                partner = partners[n % 3]
                assert await outbox.tell_cleared(tx, rig.world, partner, Cleared(n, 0))
                await asyncio.sleep(0)
            told += 1

    async def work(db: Database) -> None:
        while told < total:
            await db.retrying(log.number)
            await asyncio.sleep(0)

    async def poll() -> None:
        while told < total:
            await _poll(rig.desk, polled)

    async with asyncio.timeout(60):
        await asyncio.gather(*(tell(n) for n in range(8)), *(work(db) for db in workers), poll())
    while await number_events(rig.desk):
        pass
    await _poll(rig.desk, polled)
    everything = list(range(1, total // 3 + 1))
    assert list(polled.values()) == [everything] * 3  # a poller missed none and saw none twice
    for db in workers:
        await db.close()


async def test_pages(rig: Rig) -> None:
    """`limit` events at a time, `more` says whether to ask again at once; strangers see nothing."""
    other = await _partner(rig)
    async with rig.desk.db.transaction() as tx:
        for n in range(5):
            await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(n, 0))
    await number_events(rig.desk)
    page = await read_events(rig.desk, rig.partner_id, 1, 3)
    assert ([e.seq for e in page.entries], page.more) == ([2, 3, 4], True)
    page = await read_events(rig.desk, rig.partner_id, 4, 3)
    assert ([e.seq for e in page.entries], page.more) == ([5], False)
    page = await read_events(rig.desk, other, 0)
    assert (page.entries, page.more, page.oldest) == ([], False, None)
    for after, limit in ((-1, 1), (2**63, 1), (0, 0), (0, 101)):
        with pytest.raises(Refused) as no:
            await read_events(rig.desk, rig.partner_id, after, limit)
        assert no.value.no is No.INVALID


async def test_a_removed_order_leaves_its_numbers(rig: Rig) -> None:
    """Bodies and deliveries go, the numbers stay, and nothing is told of it any more."""
    order = (await rig.open()).view.order
    rig.pay(order)
    await rig.look()
    await number_events(rig.desk)
    async with rig.desk.db.transaction() as tx:
        await outbox.forget_order(tx, order.id)
        await tx.execute("UPDATE orders SET deleted_ms = 1")
        assert await tx.fetchval("SELECT count(*) FROM webhook_delivery") == 0
        assert not await outbox.redeliver(
            tx, await tx.fetchval("SELECT id FROM webhook_event"), None, rig.world.now()
        )
    (entry,) = (await read_events(rig.desk, rig.partner_id, 0)).entries
    assert (entry.seq, entry.body) == (1, None)
    await rig.mine(count=2)
    await number_events(rig.desk)
    assert await _seqs(rig.desk, rig.partner_id, after=1) == []


async def test_old_events_go_and_what_is_left_has_no_gap(rig: Rig) -> None:
    """Retention cuts the log at one end only: an order that is kept keeps what follows it."""
    async with rig.desk.db.transaction() as tx:
        await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(1, 0))
    order = (await rig.open()).view.order
    rig.pay(order)
    await rig.look()
    async with rig.desk.db.transaction() as tx:
        await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(2, 0))
    await number_events(rig.desk)
    assert rig.desk.terms.retention_ms is not None
    rig.world.at += max(rig.desk.terms.retention_ms, KEPT_MS_MIN)
    await forget_events(rig.desk)
    assert await _seqs(rig.desk, rig.partner_id) == [1, 2, 3]  # not older than that yet
    rig.world.at += 1
    await forget_events(rig.desk)
    page = await read_events(rig.desk, rig.partner_id, 0)
    assert ([e.seq for e in page.entries], page.oldest) == ([2, 3], 2)
    async with rig.desk.db.transaction() as tx:
        await outbox.forget_order(tx, order.id)
        await outbox.tell_cleared(tx, rig.world, rig.partner_id, Cleared(3, 0))
    await number_events(rig.desk)
    await forget_events(rig.desk)
    assert await _seqs(rig.desk, rig.partner_id) == [4]  # numbers are never given again


async def _poll(desk: Desk, polled: dict[uuid.UUID, list[int]]) -> None:
    """Ask for what comes after the last number seen, for every partner."""
    for partner, seen in polled.items():
        seen.extend(await _seqs(desk, partner, after=seen[-1] if seen else 0))


async def _partner(rig: Rig) -> uuid.UUID:
    """One more partner."""
    partner_id = TestWorld(seed=rig.world.random.randrange(10**9)).uuid()
    async with rig.desk.db.transaction() as tx:
        await tx.execute(
            "INSERT INTO partner (id, name, webhook_secret_sealed, created_ms)"
            " VALUES ($1, $2, '', 0)",
            partner_id, str(partner_id),
        )  # fmt: skip
    return partner_id
