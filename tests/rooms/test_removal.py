"""Deleting and purging orders: what goes, what stays, and money that comes afterwards."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from swapdesk.engine import handover
from swapdesk.engine.figures import figures
from swapdesk.engine.find_order import find_order, inspect, list_orders
from swapdesk.engine.follow_due import follow_due
from swapdesk.engine.open_order import open_order
from swapdesk.engine.remove_order import delete_order, purge_orders
from swapdesk.engine.resolve_order import resolve_order
from swapdesk.errors import No, Refused
from swapdesk.handoff import Acknowledged, PayoutReport
from swapdesk.orders.order import Order
from swapdesk.orders.states import State
from tests.postgres import Dsns
from tests.rig import BTC_ADDRESS, TRON_ADDRESS, Rig, rig_on

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
KEY = b"an idempotency key"


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk with one partner."""
    async with rig_on(desk_dsns.app) as begun:
        yield begun


async def paid(rig: Rig) -> tuple[uuid.UUID, str]:
    """An order from open to DONE; its id and token."""
    opened = await rig.open(key=KEY)
    assert opened.token
    order = opened.view.order
    await rig.bind_all()
    rig.pay(order)
    await rig.mine(count=2)
    (intent,) = await rig.intents()
    for outcome in ("sent", "final"):
        report = PayoutReport(intent.order_id, 1, outcome, txid="ab" * 32, fee_units=7)
        assert await rig.report(report)
    assert await rig.state(order.id) is State.DONE
    return order.id, opened.token


async def expired(rig: Rig) -> Order:
    """An order that nobody paid."""
    opened = await rig.open()
    await rig.bind_all()
    rig.world.at += 2_000_000
    await rig.tick()
    while await follow_due(rig.desk):
        pass
    order = await rig.order(opened.view.order.id)
    assert order.state is State.EXPIRED
    return order


async def rows(rig: Rig, statement: str, *arguments: object) -> list[Any]:
    """What the database says."""
    async with rig.desk.db.transaction() as tx:
        return await tx.fetch(statement, *arguments)


async def everything(rig: Rig) -> str:
    """Every row of every table as text, but for rates, which name nobody."""
    tables = await rows(rig, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    texts = []
    for (table,) in tables:
        texts += [str(row[0]) for row in await rows(rig, f'SELECT t::text FROM "{table}" t')]
    bodies = await rows(rig, "SELECT body FROM webhook_event WHERE body IS NOT NULL")
    return "\n".join(texts) + "\n".join(row["body"].decode() for row in bodies)


async def test_only_finished_orders_are_deleted(rig: Rig) -> None:
    """While money may still move an order cannot be hidden; an unknown one is not found."""
    opened = await rig.open()
    with pytest.raises(Refused) as refused:
        await delete_order(rig.desk, opened.view.order.id)
    assert refused.value.no is No.INVALID
    with pytest.raises(Refused) as refused:
        await delete_order(rig.desk, uuid.UUID(int=1))
    assert refused.value.no is No.NOT_FOUND


async def test_a_deleted_order_is_unknown_and_counted_all_the_same(rig: Rig) -> None:
    """NOT_FOUND for its partner, its replay too; nothing is delivered any more; counters stay."""
    order_id, token = await paid(rig)
    before, books = await figures(rig.desk), await rig.books()
    assert before.webhooks_waiting > 0
    for _ in range(2):
        await delete_order(rig.desk, order_id)
    with pytest.raises(Refused) as refused:
        await find_order(rig.desk, rig.partner_id, order_id, token)
    assert refused.value.no is No.NOT_FOUND
    with pytest.raises(Refused) as refused:
        await rig.open(key=KEY)
    assert refused.value.no is No.NOT_FOUND
    after = await figures(rig.desk)
    assert (after.webhooks_waiting, after.webhooks_dead) == (0, 0)
    assert after.orders == before.orders
    assert await rig.books() == books
    view, *_ = await inspect(rig.desk, order_id)  # the operator still sees it
    assert view.order.deleted_ms == rig.world.now()


async def test_a_purge_leaves_nothing_personal(rig: Rig) -> None:
    """After the retention: no address, body, attestation, key or payout transaction; the rest."""
    order_id, token = await paid(rig)
    before, books = await figures(rig.desk), await rig.books()
    for secret in (TRON_ADDRESS, BTC_ADDRESS, "ab" * 32):
        assert secret in await everything(rig)
    rig.world.at += 72 * HOUR_MS - 1
    assert await purge_orders(rig.desk) == 0
    rig.world.at += 1
    assert await purge_orders(rig.desk) == 1
    assert await purge_orders(rig.desk) == 0
    left = await everything(rig)
    for secret in (TRON_ADDRESS, BTC_ADDRESS, "ab" * 32):
        assert secret not in left
    assert (await rows(rig, "SELECT count(*) FROM idempotency"))[0][0] == 0
    await handover.acknowledge(rig.desk, [Acknowledged(str(order_id), "cd")])  # a late repeat
    order = await rig.order(order_id)
    assert (order.destination, order.refund_address, order.attestation) == (None, None, None)
    assert order.purged_ms == rig.world.now()
    assert order.token_hash == hashlib.sha256(token.encode()).digest()  # a claimant can prove it
    assert (order.network, order.from_asset, order.address_index) == ("bitcoin", "btc", 0)
    with pytest.raises(Refused) as refused:
        await find_order(rig.desk, rig.partner_id, order_id, token)
    assert refused.value.no is No.NOT_FOUND
    assert (await figures(rig.desk)).orders == before.orders
    assert await rig.books() == books


async def test_a_purge_can_be_off(rig: Rig) -> None:
    """`never`: nothing goes, however old."""
    await paid(rig)
    rig.desk.terms = msgspec.structs.replace(rig.desk.terms, retention_ms=None)
    rig.world.at += 10_000 * HOUR_MS
    assert await purge_orders(rig.desk) == 0


async def test_a_key_answers_for_a_day_whatever_the_retention(rig: Rig) -> None:
    """A retention of nothing waits for the idempotency key: it never opens a second order."""
    order_id, _ = await paid(rig)
    rig.desk.terms = msgspec.structs.replace(rig.desk.terms, retention_ms=0)
    rig.world.at += 23 * HOUR_MS
    assert await purge_orders(rig.desk) == 0
    assert (await rig.open(key=KEY)).view.order.id == order_id
    rig.world.at += HOUR_MS
    assert await purge_orders(rig.desk) == 1


async def test_an_unbound_or_owed_order_waits_for_its_purge(rig: Rig) -> None:
    """What the vault has not stored, or what is still owed, keeps its addresses."""
    opened = await rig.open()
    rig.world.at += 2_000_000
    await rig.tick()
    while await follow_due(rig.desk):
        pass
    assert await rig.state(opened.view.order.id) is State.EXPIRED
    rig.world.at += 100 * HOUR_MS
    await rig.tick()
    assert await purge_orders(rig.desk) == 0
    await rig.bind_all()
    done, _ = await paid(rig)
    rig.pay(await rig.order(done), 50_000)
    await rig.mine(count=2)
    assert await rig.owed(done)
    rig.world.at += 100 * HOUR_MS
    assert await purge_orders(rig.desk) == 1  # the first one only
    assert (await rig.order(done)).refund_address == BTC_ADDRESS


async def test_money_for_a_purged_order_is_held_without_an_address(rig: Rig) -> None:
    """It is recorded, owed and on the work list; nobody is told, and nothing can be sent."""
    order = await expired(rig)
    rig.world.at += 73 * HOUR_MS
    assert await purge_orders(rig.desk) == 1
    await rig.tick()
    events = (await rows(rig, "SELECT count(*) FROM webhook_event"))[0][0]
    rig.pay(order, 70_000)
    await rig.mine(count=2)
    held = await rig.order(order.id)
    assert (held.state, held.hold_reasons) == (State.HELD, ("EXPIRED",))
    assert await rig.owed(order.id) == {"btc": 70_000}
    assert [o.id for o in await list_orders(rig.desk, held=True, at_most=9)] == [order.id]
    assert (await rows(rig, "SELECT count(*) FROM webhook_event"))[0][0] == events
    for choice in ("exchange", "refund"):
        with pytest.raises(Refused) as refused:
            await resolve_order(rig.desk, order.id, choice, by="test", note="x")
        assert refused.value.no is No.BAD_CHOICE
    rig.world.at += 100 * HOUR_MS
    assert await purge_orders(rig.desk) == 0  # it is held, and it was purged


async def test_money_for_a_deleted_order_is_told_to_the_operator_only(rig: Rig) -> None:
    """Late money moves a deleted order to HELD in silence; the operator refunds it."""
    order = await expired(rig)
    await delete_order(rig.desk, order.id)
    rig.pay(order, 70_000)
    await rig.mine(count=2)
    assert await rig.state(order.id) is State.HELD
    assert not await rows(rig, "SELECT 1 FROM webhook_event WHERE body IS NOT NULL")
    after = await resolve_order(rig.desk, order.id, "refund", by="test", note="late")
    assert after.state is State.REFUNDING


async def test_many_orders_are_purged_in_chunks(rig: Rig) -> None:
    """More than one chunk at once, by two workers at the same time, each order once."""
    import asyncio

    await asyncio.gather(*(open_order(rig.desk, rig.ask()) for _ in range(230)))
    while len(await rows(rig, "SELECT 1 FROM orders WHERE bound_ms IS NULL LIMIT 1")):
        await rig.bind_all()
    rig.world.at += 2_000_000
    await rig.tick()
    while await follow_due(rig.desk):
        pass
    rig.world.at += 73 * HOUR_MS
    purged = await asyncio.gather(purge_orders(rig.desk), purge_orders(rig.desk))
    assert sum(purged) + await purge_orders(rig.desk) == 230
