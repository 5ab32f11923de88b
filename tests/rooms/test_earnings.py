"""What partners earn: agreed when an order opens, booked when it is exchanged, payable when done."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from swapdesk.engine.earnings import (
    clear_earnings,
    list_earnings,
    list_payments,
    order_earnings,
    pay_earnings,
    set_fee_share,
)
from swapdesk.engine.resolve_order import resolve_order
from swapdesk.errors import No, Refused
from swapdesk.handoff import PayoutReport
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.money import USD_SCALE
from swapdesk.orders.states import State
from swapdesk.partners.earnings import Standing
from tests.postgres import Dsns
from tests.rig import Rig, rig_on

pytestmark = pytest.mark.anyio

#: 0.01 BTC is 600 dollars: half a per cent of it is the base fee, as much again the markup of the
#: rig, and the partner has a quarter of the base fee.
MARKUP, SHARE = 3_000_000, 750_000
SHARE_BPS = 2_500
EVENTS = ["order.status_changed", "partner.paid_out", "earnings.cleared"]


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk whose partner has a quarter of the base fee and wants every event."""
    async with rig_on(desk_dsns.app) as running:
        await set_fee_share(running.desk, "shop", SHARE_BPS)
        async with running.desk.db.transaction() as tx:
            await tx.execute("UPDATE partner SET webhook_events = $1", EVENTS)
        yield running


async def paid_in(rig: Rig) -> uuid.UUID:
    """An order whose deposit is final and exchanged."""
    order = (await rig.open()).view.order
    rig.pay(order)
    await rig.mine(count=2)
    assert await rig.state(order.id) is State.PAYING
    return order.id


async def done(rig: Rig) -> uuid.UUID:
    """An order whose payout is final."""
    order_id = await paid_in(rig)
    assert await rig.report(final(order_id))
    return order_id


def final(order_id: uuid.UUID, attempt: int = 1) -> PayoutReport:
    """The vault's last word about a payout."""
    return PayoutReport(str(order_id), attempt, "final", txid="aa", fee_units=7)


async def account(rig: Rig, name: str) -> dict[str, int]:
    """Asset -> what the desk owes or has earned on an account."""
    async with rig.desk.db.transaction() as tx:
        return {p.asset: -p.units for p in await ledger.balances(tx, name)}


async def owed(rig: Rig) -> dict[str, int]:
    """What the books owe the partner."""
    return await account(rig, entries.earnings(rig.partner_id))


async def standing(rig: Rig) -> Standing:
    """The one partner's line in the list."""
    (line,) = await list_earnings(rig.desk)
    return line


async def told(rig: Rig, event: str) -> list[Any]:
    """Bodies of the partner's events of one kind that wait for delivery."""
    async with rig.desk.db.transaction() as tx:
        rows = await tx.fetch(
            "SELECT body FROM webhook_event e JOIN webhook_delivery d ON d.event_id = e.id"
            " WHERE event = $1 ORDER BY e.created_ms",
            event,
        )
    return [json.loads(row["body"]) for row in rows]


async def test_earnings_follow_an_order(rig: Rig) -> None:
    """Expected when it opens, in the books at the exchange, payable when the payout is final."""
    order = (await rig.open()).view.order
    found = await order_earnings(rig.desk, order.id)
    assert (found.markup_units, found.share_units, found.payable_ms) == (MARKUP, SHARE, None)
    assert await owed(rig) == {}
    rig.pay(order)
    await rig.mine(count=2)
    assert await order_earnings(rig.desk, order.id) == type(found)(
        "usdt_trc20", MARKUP, SHARE, 3_750_000_000_000, None, None
    )
    assert await owed(rig) == {"usdt_trc20": MARKUP + SHARE}
    assert (await account(rig, entries.FEES)) == {"usdt_trc20": 3_000_000 - SHARE + 1_000_000}
    line = await standing(rig)
    assert (line.pending_usd, line.payable_usd, line.orders) == (3_750_000_000_000, 0, 0)
    await rig.report(final(order.id))
    await rig.report(final(order.id))
    assert (await order_earnings(rig.desk, order.id)).payable_ms == rig.world.now()
    line = await standing(rig)
    assert (line.pending_usd, line.payable_usd, line.orders) == (0, 3_750_000_000_000, 1)
    assert (line.volume_usd, line.earned_usd) == (600 * USD_SCALE, 3_750_000_000_000)
    await rig.books()


async def test_the_share_is_that_of_the_opening(rig: Rig) -> None:
    """What the operator changes later is for later orders."""
    first = (await rig.open()).view.order
    await set_fee_share(rig.desk, str(rig.partner_id), 0)
    second = (await rig.open()).view.order
    assert (await order_earnings(rig.desk, first.id)).share_units == SHARE
    assert (await order_earnings(rig.desk, second.id)).share_units == 0
    rig.pay(first)
    rig.pay(second)
    await rig.mine(count=2)
    assert await owed(rig) == {"usdt_trc20": 2 * MARKUP + SHARE}


async def test_an_undone_exchange_earns_nothing(rig: Rig) -> None:
    """A refused payout takes the earnings back; the second attempt books them again, once."""
    order_id = await paid_in(rig)
    await rig.report(PayoutReport(str(order_id), 1, "refused", reason="value bound"))
    assert await owed(rig) == {}
    assert (await order_earnings(rig.desk, order_id)).markup_units == 0
    assert (await standing(rig)).pending_usd == 0
    await resolve_order(rig.desk, order_id, "exchange", by="ops", note="again")
    await rig.report(final(order_id, 2))
    assert await owed(rig) == {"usdt_trc20": MARKUP + SHARE}
    line = await standing(rig)
    assert (line.payable_usd, line.orders) == (3_750_000_000_000, 1)


async def test_a_refund_earns_nothing(rig: Rig) -> None:
    """Neither held money that goes back, nor a refused payout that becomes a refund."""
    order_id = await paid_in(rig)
    await rig.report(PayoutReport(str(order_id), 1, "refused", reason="value bound"))
    await resolve_order(rig.desk, order_id, "refund", by="ops", note="back")
    await rig.report(final(order_id, 2))
    assert await rig.state(order_id) is State.REFUNDED
    assert await owed(rig) == {}
    line = await standing(rig)
    assert (line.orders, line.volume_usd, line.earned_usd, line.payable_usd) == (0, 0, 0, 0)


async def test_a_payment_moves_the_books_and_is_told_once(rig: Rig) -> None:
    """Everything payable and nothing else, to desk/paid_out; the reference again changes nothing."""
    await done(rig)
    since = rig.world.now()
    await done(rig)
    await paid_in(rig)
    made, new = await pay_earnings(rig.desk, "shop", "invoice 7")
    assert new
    assert (made.usd, made.from_ms, made.to_ms) == (7_500_000_000_000, since, rig.world.now())
    assert await owed(rig) == {"usdt_trc20": MARKUP + SHARE}, "the third order is not done"
    assert await account(rig, entries.PAID_OUT) == {"usdt_trc20": 2 * (MARKUP + SHARE)}
    rig.world.at += 5000
    assert await pay_earnings(rig.desk, "shop", "invoice 7") == (made, False)
    (body,) = await told(rig, "partner.paid_out")
    assert body == {
        "event": "partner.paid_out",
        "payout": {
            "paidOutAt": "2027-01-15T08:00:06.000Z", "periodFrom": "2027-01-15T08:00:02.000Z",
            "periodTo": "2027-01-15T08:00:06.000Z", "totalUsd": "7.50", "reference": "invoice 7",
        },
        "ts": made.paid_ms,
    }  # fmt: skip
    assert (await standing(rig)).payable_usd == 0
    assert await list_payments(rig.desk, str(rig.partner_id)) == [made]
    await rig.books()


async def test_the_next_period_begins_where_the_last_ended(rig: Rig) -> None:
    """Periods touch, times differ even within one millisecond, history is newest first."""
    await done(rig)
    first, _ = await pay_earnings(rig.desk, "shop", "one")
    order_id = await paid_in(rig)
    rig.world.at = first.paid_ms
    await rig.report(final(order_id))
    second, _ = await pay_earnings(rig.desk, "shop", "two")
    assert (second.from_ms, second.paid_ms) == (first.to_ms, first.paid_ms + 1)
    assert await list_payments(rig.desk, "shop") == [second, first]
    assert len(await told(rig, "partner.paid_out")) == 2


async def test_what_cannot_be_paid(rig: Rig) -> None:
    """Nobody, nothing, no reference: refused, nothing written, nobody told."""
    await paid_in(rig)
    for partner, reference, no in (
        ("nobody", "r", No.NOT_FOUND), (str(uuid.UUID(int=99)), "r", No.NOT_FOUND),
        ("shop", "r", No.INVALID), ("shop", "", No.INVALID), ("shop", "r" * 201, No.INVALID),
        ("shop", "a\nb", No.INVALID),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            await pay_earnings(rig.desk, partner, reference)
        assert refused.value.no is no
    assert await told(rig, "partner.paid_out") == []
    assert await list_payments(rig.desk, "shop") == []
    for share in (-1, 10_001):
        with pytest.raises(Refused):
            await set_fee_share(rig.desk, "shop", share)


async def test_two_operators_pay_once(rig: Rig) -> None:
    """Of two payments at the same time one finds nothing left."""
    await done(rig)
    answers = await asyncio.gather(
        *(pay_earnings(rig.desk, "shop", f"ref {n}") for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(answer, Refused) for answer in answers) == 3
    assert await owed(rig) == {}
    assert len(await told(rig, "partner.paid_out")) == 1


async def test_clearing_closes_a_cycle_and_no_debt(rig: Rig) -> None:
    """The cycle counts what became payable since the last clearing; what is payable stays so."""
    await done(rig)
    cleared = await clear_earnings(rig.desk, "shop")
    assert (cleared.cleared_ms, cleared.total_usd) == (rig.world.now(), 3_750_000_000_000)
    line = await standing(rig)
    assert (line.cycle_usd, line.payable_usd) == (0, 3_750_000_000_000)
    with pytest.raises(Refused):
        await clear_earnings(rig.desk, "shop")
    with pytest.raises(Refused):
        await clear_earnings(rig.desk, "nobody")
    await pay_earnings(rig.desk, "shop", "x")
    await done(rig)
    assert (await standing(rig)).cycle_usd == 3_750_000_000_000
    await clear_earnings(rig.desk, "shop")
    bodies = await told(rig, "earnings.cleared")
    assert bodies[0] == {
        "event": "earnings.cleared",
        "earnings": {"clearedAt": "2027-01-15T08:00:02.000Z", "totalUsd": "3.75"},
        "ts": cleared.cleared_ms,
    }
    assert len(bodies) == 2
    assert (await standing(rig)).earned_usd == 7_500_000_000_000


async def test_only_subscribers_are_called(rig: Rig) -> None:
    """A partner who did not ask for these events is not called; his event log has them."""
    async with rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET webhook_events = '{order.status_changed}'")
    await done(rig)
    await pay_earnings(rig.desk, "shop", "x")
    await clear_earnings(rig.desk, "shop")
    async with rig.desk.db.transaction() as tx:
        kept = await tx.fetch("SELECT event FROM webhook_event WHERE order_id IS NULL ORDER BY 1")
    assert [row["event"] for row in kept] == ["earnings.cleared", "partner.paid_out"]
    assert await told(rig, "partner.paid_out") == await told(rig, "earnings.cleared") == []


async def test_money_after_the_end_changes_no_earnings(rig: Rig) -> None:
    """A second deposit that goes back leaves what was earned as it is."""
    order_id = await done(rig)
    rig.pay(await rig.order(order_id), 500_000)
    await rig.mine(count=2)
    await resolve_order(rig.desk, order_id, "refund", by="ops", note="too much")
    await rig.report(final(order_id, 2))
    assert await rig.state(order_id) is State.REFUNDED
    line = await standing(rig)
    assert (line.payable_usd, line.orders, line.volume_usd) == (
        3_750_000_000_000, 1, 600 * USD_SCALE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE earning SET markup_units = 0", asyncpg.CheckViolationError),
        ("UPDATE earning SET usd = usd + 1", asyncpg.CheckViolationError),
        ("UPDATE earning SET payable_ms = NULL, payment_id = NULL", asyncpg.CheckViolationError),
        ("UPDATE earning SET payment_id = NULL", asyncpg.CheckViolationError),
        ("DELETE FROM earning", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM earnings_payment", asyncpg.InsufficientPrivilegeError),
        ("UPDATE earnings_payment SET usd = 0", asyncpg.InsufficientPrivilegeError),
        ("UPDATE partner_total SET orders = orders - 1", asyncpg.CheckViolationError),
        ("UPDATE partner_total SET volume_usd = 0", asyncpg.CheckViolationError),
        ("UPDATE partner_total SET earned_usd = 0", asyncpg.CheckViolationError),
        ("DELETE FROM partner_total", asyncpg.InsufficientPrivilegeError),
    ],
)
async def test_what_is_settled_stays(
    rig: Rig, statement: str, error: type[asyncpg.PostgresError]
) -> None:
    """The database itself refuses to change paid earnings, and to lower totals."""
    await done(rig)
    await pay_earnings(rig.desk, "shop", "x")
    with pytest.raises(error):
        async with rig.desk.db.transaction() as tx:
            await tx.execute(statement)
