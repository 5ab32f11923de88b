"""Use cases on a real database: what money does, and what an order does about it."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from swapdesk.engine.find_order import find_order, list_orders
from swapdesk.engine.follow_due import follow_due
from swapdesk.engine.open_order import open_order
from swapdesk.engine.resolve_order import resolve_order
from swapdesk.errors import No, Refused
from swapdesk.handoff import PayoutReport
from swapdesk.orders.states import State
from tests.postgres import Dsns
from tests.rig import TRON_ADDRESS, Rig, rig_on

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk with one partner, rates and watchers at the tip."""
    async with rig_on(desk_dsns.app) as begun:
        yield begun


def _sent(order_id: uuid.UUID, attempt: int = 1) -> PayoutReport:
    return PayoutReport(str(order_id), attempt, "sent", txid="aa")


def _final(order_id: uuid.UUID, attempt: int = 1, fee: int = 7) -> PayoutReport:
    return PayoutReport(str(order_id), attempt, "final", txid="aa", fee_units=fee)


async def _paid_in(rig: Rig, units: int | None = None) -> uuid.UUID:
    """An order whose deposit is final."""
    order = (await rig.open()).view.order
    rig.pay(order, units)
    await rig.mine(count=2)
    return order.id


async def test_a_swap_from_deposit_to_books(rig: Rig) -> None:
    """Seen, confirming, final, asked, sent, final; afterwards nobody is owed anything."""
    opened = await rig.open()
    order = opened.view.order
    assert opened.token is not None
    assert len(opened.token) == 43
    rig.pay(order)
    await rig.look()
    assert await rig.state(order.id) is State.CONFIRMING
    await rig.mine(count=2)
    order = await rig.order(order.id)
    assert order.state is State.PAYING
    assert await rig.owed(order.id) == {"usdt_trc20": order.to_units}
    (intent,) = await rig.intents()
    assert (intent.units, intent.destination) == (order.to_units, TRON_ADDRESS)
    assert (intent.covers_units, intent.kind) == (1_000_000, "payout")
    assert [d.units for d in intent.deposits] == [1_000_000]
    assert await rig.report(_sent(order.id))
    assert await rig.state(order.id) is State.PAID
    assert await rig.report(_final(order.id))
    assert await rig.state(order.id) is State.DONE
    assert await rig.owed(order.id) == {}
    books = await rig.books()
    assert books["chain/bitcoin/deposits", "btc"] == 1_000_000
    assert books["chain/tron/hot", "usdt_trc20"] == -order.to_units
    assert books["desk/network", "trx"] == 7
    assert books["partner/*", "usdt_trc20"] == -3_000_000
    view = await find_order(rig.desk, rig.partner_id, order.id, opened.token)
    assert view.payout_txid == "aa"
    assert view.order.shown == ("NEW", "PENDING", "EXCHANGE", "DONE")


async def test_every_status_is_told_once(rig: Rig, desk_dsns: Dsns) -> None:
    """One event per status change, whose body is what was true then."""
    order_id = await _paid_in(rig)
    await rig.report(_sent(order_id), _sent(order_id), _final(order_id))
    connection = await asyncpg.connect(desk_dsns.app)
    rows = await connection.fetch("SELECT status, body FROM webhook_event ORDER BY created_ms, id")
    await connection.close()
    assert [row["status"] for row in rows] == ["PENDING", "EXCHANGE", "DONE"]
    for row in rows:
        assert f'"status":"{row["status"]}"'.encode() in row["body"]


async def test_a_deposit_first_seen_already_final_is_paid(rig: Rig) -> None:
    """The watcher was down: WAITING goes to PAYING at once."""
    order = (await rig.open()).view.order
    rig.pay(order)
    rig.chains["bitcoin"].sim_mine(3)
    await rig.look()
    assert await rig.state(order.id) is State.PAYING


async def test_an_underpaid_order_is_held_and_refunded(rig: Rig) -> None:
    """Below the minimum: HELD with LIMIT; the refund goes to the bound address, minus its fee."""
    order_id = await _paid_in(rig, 10_000)
    order = await rig.order(order_id)
    assert order.state is State.HELD
    assert order.hold_reasons == ("LIMIT",)
    assert [o.id for o in await list_orders(rig.desk, held=True, at_most=10)] == [order_id]
    await resolve_order(rig.desk, order_id, "refund", by="ops", note="too little")
    (intent,) = await rig.intents()
    assert intent.kind == "refund"
    assert intent.units == 10_000 - 1_667
    assert intent.destination == order.refund_address
    assert await rig.state(order_id) is State.REFUNDING
    await rig.report(_final(order_id))
    assert await rig.state(order_id) is State.REFUNDED
    assert await rig.owed(order_id) == {}
    assert (await rig.books())["desk/fees", "btc"] == -1_667
    assert (await rig.order(order_id)).shown == ("NEW", "PENDING", "EMERGENCY", "EXPIRED")


async def test_several_deposits_count_together_and_dust_does_not(rig: Rig) -> None:
    """Two halves make an order; 999 satoshi more belong to nobody and change nothing."""
    order = (await rig.open()).view.order
    for units in (12_000, 8_000, 999):
        rig.pay(order, units)
    await rig.mine(count=2)
    order = await rig.order(order.id)
    assert order.state is State.PAYING
    assert order.from_units == 20_000
    assert (await rig.books())["desk/dust", "btc"] == -999


async def test_a_deposit_in_two_steps_is_waited_for(rig: Rig) -> None:
    """Too little is final, the rest is on its way: not held before it is known."""
    order = (await rig.open()).view.order
    rig.pay(order, 12_000)
    await rig.mine(count=1)
    rig.pay(order, 8_000)
    await rig.look()
    await rig.mine(count=1)
    assert await rig.state(order.id) is State.CONFIRMING
    await rig.mine(count=1)
    assert await rig.state(order.id) is State.PAYING


async def test_without_money_the_window_closes(rig: Rig) -> None:
    """Nothing came: EXPIRED, but only once the watcher has looked after the end of the window."""
    order = (await rig.open()).view.order
    rig.world.at = order.window_ends_ms + 1
    await follow_due(rig.desk)
    assert await rig.state(order.id) is State.WAITING
    await rig.tick()
    rig.world.at += rig.desk.terms.reprice_ms
    await follow_due(rig.desk)
    assert await rig.state(order.id) is State.EXPIRED


async def test_late_money_is_held_never_lost(rig: Rig) -> None:
    """A deposit after the window: EXPIRED, then EMERGENCY; the operator may still exchange it."""
    order = (await rig.open()).view.order
    rig.world.at = order.window_ends_ms + 1
    await rig.tick()
    rig.world.at += 10_000
    await follow_due(rig.desk)
    rig.pay(order)
    await rig.mine(count=2)
    held = await rig.order(order.id)
    assert held.state is State.HELD
    assert held.hold_reasons == ("EXPIRED",)
    assert held.shown == ("NEW", "EXPIRED", "EMERGENCY")
    await resolve_order(rig.desk, order.id, "exchange", by="ops", note="known customer")
    assert await rig.state(order.id) is State.PAYING


async def test_a_vanished_deposit_takes_the_order_back(rig: Rig) -> None:
    """Evicted from the mempool: WAITING again, the wire keeps saying PENDING; then it expires."""
    order = (await rig.open()).view.order
    txid = rig.pay(order)
    await rig.look()
    rig.chains["bitcoin"].sim_evict(txid)
    await rig.look()
    back = await rig.order(order.id)
    assert back.state is State.WAITING
    assert back.shown == ("NEW", "PENDING")
    rig.world.at = order.window_ends_ms + 1
    await rig.tick()
    rig.world.at += 10_000
    await follow_due(rig.desk)
    assert await rig.state(order.id) is State.EXPIRED


async def test_a_reorganised_block_takes_its_deposits_back(rig: Rig) -> None:
    """A final deposit of a held order leaves the books with its block, and returns once."""
    order_id = await _paid_in(rig, 10_000)
    assert await rig.owed(order_id) == {"btc": 10_000}
    rig.chains["bitcoin"].sim_reorg(2, "mempool")
    await rig.tick()
    assert await rig.owed(order_id) == {}
    await rig.mine(count=2)
    assert await rig.owed(order_id) == {"btc": 10_000}
    assert await rig.state(order_id) is State.HELD
    assert (await rig.books())["chain/bitcoin/deposits", "btc"] == 10_000


async def test_money_taken_back_after_it_was_promised_waits_in_suspense(rig: Rig) -> None:
    """The payout was asked for: the loss shows in desk/suspense and closes when it returns."""
    order_id = await _paid_in(rig)
    rig.chains["bitcoin"].sim_reorg(2, "mempool")
    await rig.tick()
    assert (await rig.books())["desk/suspense", "btc"] == 1_000_000
    await rig.mine(count=2)
    books = await rig.books()
    assert ("desk/suspense", "btc") not in books
    assert books["chain/bitcoin/deposits", "btc"] == 1_000_000
    order = await rig.order(order_id)
    assert await rig.owed(order_id) == {"usdt_trc20": order.to_units}


async def test_a_remined_deposit_is_the_same_deposit(rig: Rig, desk_dsns: Dsns) -> None:
    """Another block, the same (network, txid, position): one row, one payout."""
    order = (await rig.open()).view.order
    rig.pay(order)
    await rig.mine(count=1)
    rig.chains["bitcoin"].sim_reorg(1, "mempool")
    await rig.mine(count=3)
    assert await rig.state(order.id) is State.PAYING
    assert len(await rig.intents()) == 1
    connection = await asyncpg.connect(desk_dsns.app)
    assert await connection.fetchval("SELECT count(*) FROM deposit") == 1
    await connection.close()


async def test_money_without_a_price_waits_for_one(rig: Rig) -> None:
    """Rates stop: the deposit is CONFIRMING, not lost; with the first good rate it is paid."""
    order = (await rig.open()).view.order
    rig.pay(order)
    rig.chains["bitcoin"].sim_mine(2)
    rig.world.at += 60_000
    await rig.look()
    assert await rig.state(order.id) is State.CONFIRMING
    await rig.tick()
    rig.world.at += rig.desk.terms.reprice_ms
    await rig.tick()
    await follow_due(rig.desk)
    assert await rig.state(order.id) is State.PAYING


async def test_a_refused_payout_is_held_and_may_be_asked_again(rig: Rig) -> None:
    """The exchange is undone in the books; the second attempt has its own number."""
    order_id = await _paid_in(rig)
    await rig.report(PayoutReport(str(order_id), 1, "refused", reason="value bound"))
    held = await rig.order(order_id)
    assert held.state is State.HELD
    assert held.hold_reasons == ("REFUSED",)
    assert await rig.owed(order_id) == {"btc": 1_000_000}
    await resolve_order(rig.desk, order_id, "exchange", by="ops", note="again")
    assert [i.attempt for i in await rig.intents()] == [2]
    assert await rig.report(_final(order_id, 2))
    assert await rig.state(order_id) is State.DONE
    assert await rig.owed(order_id) == {}


async def test_a_void_payout_is_owed_again(rig: Rig) -> None:
    """Reverted at depth: gas is booked, the customer is owed his coins, an operator decides."""
    order_id = await _paid_in(rig)
    await rig.report(_sent(order_id))
    await rig.report(PayoutReport(str(order_id), 1, "reverted", txid="aa", fee_units=3))
    assert await rig.state(order_id) is State.HELD
    assert await rig.owed(order_id) == {"btc": 1_000_000}
    assert (await rig.books())["desk/network", "trx"] == 3
    assert (await rig.order(order_id)).shown[-1] == "DONE"


async def test_reports_may_come_twice_late_and_out_of_order(rig: Rig) -> None:
    """final before sent, everything twice: one posting, one end. A contradiction is refused."""
    order_id = await _paid_in(rig)
    for _ in range(2):
        assert await rig.report(_final(order_id)) == [_final(order_id)]
        assert await rig.report(_sent(order_id)) == [_sent(order_id)]
    assert (await rig.books())["desk/network", "trx"] == 7
    refused = PayoutReport(str(order_id), 1, "refused", reason="late")
    assert await rig.report(refused) == []
    assert await rig.report(_final(order_id, attempt=2)) == []
    assert await rig.report(_final(uuid.UUID(int=1))) == []
    assert await rig.state(order_id) is State.DONE


async def test_one_live_intent_and_a_choice_only_where_one_is_due(rig: Rig) -> None:
    """PAYING takes no choice; HELD takes one; the second finds the first still alive."""
    order_id = await _paid_in(rig)
    with pytest.raises(Refused) as early:
        await resolve_order(rig.desk, order_id, "refund", by="ops", note="no")
    assert early.value.no is No.BAD_CHOICE
    held = await _paid_in(rig, 10_000)
    await resolve_order(rig.desk, held, "refund", by="ops", note="yes")
    with pytest.raises(Refused) as twice:
        await resolve_order(rig.desk, held, "refund", by="ops", note="yes")
    assert twice.value.no is No.CONFLICT


async def test_money_after_done_stays_on_the_work_list_until_refunded(rig: Rig) -> None:
    """A second deposit after DONE is owed, listed, and can be sent back."""
    order_id = await _paid_in(rig)
    await rig.report(_final(order_id))
    rig.pay(await rig.order(order_id), 50_000)
    await rig.mine(count=2)
    assert await rig.state(order_id) is State.DONE
    assert [o.id for o in await list_orders(rig.desk, held=True, at_most=9)] == [order_id]
    await resolve_order(rig.desk, order_id, "refund", by="ops", note="sent twice")
    await rig.report(_final(order_id, 2))
    assert await rig.state(order_id) is State.REFUNDED
    assert await list_orders(rig.desk, held=True, at_most=9) == []


async def test_an_idempotency_key_opens_one_order(rig: Rig) -> None:
    """Twenty at once with one key: one order, one token; another body is refused."""
    ask = rig.ask(key=b"k")
    answers = await asyncio.gather(*(open_order(rig.desk, ask) for _ in range(20)))
    assert len({answer.view.order.id for answer in answers}) == 1
    assert sum(answer.token is not None for answer in answers) == 1
    with pytest.raises(Refused) as reused:
        await open_order(rig.desk, rig.ask(key=b"k", body=b"other"))
    assert reused.value.no is No.KEY_REUSED
    rig.world.at += 600_000  # rates are stale now: a replay is still answered
    assert (await open_order(rig.desk, ask)).token is None


async def test_addresses_are_never_shared(rig: Rig) -> None:
    """Concurrent orders get addresses of their own, derived from their own index."""
    opened = await asyncio.gather(*(rig.open() for _ in range(30)))
    found = {(o.view.order.address_index, o.view.order.address) for o in opened}
    assert len({address for _, address in found}) == 30
    for index, address in found:
        assert rig.desk.pay_in.address("bitcoin", index) == address


async def test_our_own_addresses_are_no_destination(rig: Rig) -> None:
    """Neither payout nor refund may go to a pay-in address."""
    ours = (await rig.open()).view.order.address
    ask = msgspec.structs.replace(rig.ask(), refund_address=ours)
    with pytest.raises(Refused) as refused:
        await open_order(rig.desk, ask)
    assert refused.value.no is No.INVALID


async def test_orders_are_found_only_with_their_token_by_their_partner(rig: Rig) -> None:
    """Unknown, foreign and wrong token are one answer."""
    opened = await rig.open()
    order, token = opened.view.order, opened.token
    assert token is not None
    await find_order(rig.desk, rig.partner_id, order.id, token)
    for partner, order_id, given in (
        (rig.partner_id, order.id, token + "x"),
        (uuid.UUID(int=9), order.id, token),
        (rig.partner_id, uuid.UUID(int=9), token),
    ):
        with pytest.raises(Refused) as refused:
            await find_order(rig.desk, partner, order_id, given)
        assert refused.value.no is No.NOT_FOUND


async def test_a_silent_vault_or_watcher_closes_the_desk(rig: Rig) -> None:
    """Nobody can promise a payout that nobody would make."""
    rig.world.at += rig.desk.terms.vault_silence_ms + 1
    with pytest.raises(Refused) as refused:
        await rig.open()
    assert refused.value.no is No.UNAVAILABLE
    rig.world.at += 1_000  # what was known about the vault is forgotten after a second
    await rig.tick()
    await rig.open()
