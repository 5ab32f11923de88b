"""Orders that share a transaction: each row its own answer, also when PostgreSQL dies under it."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from swapdesk.db import Database, Unknown
from swapdesk.deposits.addresses import LEASE, STOCK, PayIn
from swapdesk.engine.admit import admit, find_holder
from swapdesk.engine.desk import Desk
from swapdesk.engine.find_order import find_order
from swapdesk.engine.open_order import OrderAsk, open_order
from swapdesk.engine.partner_admin import create_partner
from swapdesk.errors import No, Refused
from swapdesk.orders.order import Opened
from swapdesk.partners.partner import Caller, Holder, StaleHolder
from swapdesk.partners.secrets import Sealer
from tests.http_site import SEALING_KEYS
from tests.postgres import Dsns
from tests.rig import Rig, rig_on

pytestmark = pytest.mark.anyio

NO_LIMIT = 1_000_000


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk with rates, a vault that is heard and watchers at the tip."""
    async with rig_on(desk_dsns.app) as begun:
        yield begun


@asynccontextmanager
async def twin_of(rig: Rig, dsn: str) -> AsyncIterator[Desk]:
    """Another process of the same site: its own connections and its own memory."""
    db, first = await Database.open(dsn, name="twin"), rig.desk
    xpubs = {f: rig.keyring.deposit_xpub(f) for f in ("bitcoin", "tron")}
    pay_in = PayIn(rig.registry, xpubs)
    try:
        yield Desk(
            db=db, world=first.world, registry=rig.registry, terms=first.terms, pay_in=pay_in
        )
    finally:
        await db.close()


async def _holder(rig: Rig, name: str = "wallet", *, budget: int = NO_LIMIT) -> Holder:
    """A partner of its own with a budget."""
    made = await create_partner(rig.desk, Sealer(SEALING_KEYS), name=name)
    async with rig.desk.db.transaction() as tx:
        await tx.execute(
            "UPDATE partner SET weight_per_minute = $2 WHERE id = $1", made.partner_id, budget
        )
    holder = await find_holder(rig.desk, made.api_key)
    assert holder is not None
    return holder


def _ask(rig: Rig, holder: Holder, number: int, *, key: bytes | None = None) -> OrderAsk:
    """A create of weight 50 with a nonce of its own; `key`: its idempotency key."""
    return msgspec.structs.replace(
        rig.ask(key=key),
        partner_id=holder.partner_id,
        caller=Caller(holder, f"nonce-number-{number:06}", 50),
    )


async def _all(desk: Desk, asks: Sequence[OrderAsk]) -> list[Opened | BaseException]:
    return await asyncio.gather(*(open_order(desk, ask) for ask in asks), return_exceptions=True)


def _why(answer: object) -> No | None:
    return answer.no if isinstance(answer, Refused) else None


async def _count(rig: Rig, table: str) -> int:
    async with rig.desk.db.transaction() as tx:
        return int(await tx.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_batch_opens_what_each_row_asks(rig: Rig) -> None:
    """Forty at once: every order with its own id, token and address; few transactions."""
    holder = await _holder(rig)
    before = await _transactions(rig)
    opened = await _all(rig.desk, [_ask(rig, holder, number) for number in range(40)])
    assert all(isinstance(each, Opened) for each in opened)
    orders = [each.view.order for each in opened if isinstance(each, Opened)]
    tokens = {each.token for each in opened if isinstance(each, Opened)}
    assert len({order.id for order in orders}) == len({o.address for o in orders}) == 40
    assert len(tokens) == 40
    assert await _transactions(rig) - before < 15
    for order in orders:
        stored = await rig.order(order.id)
        assert (stored.address, stored.address_index) == (order.address, order.address_index)
        assert rig.desk.pay_in.address("bitcoin", order.address_index) == order.address
        assert stored == order
    for each in opened[:3]:
        assert isinstance(each, Opened) and each.token
        found = await find_order(rig.desk, holder.partner_id, each.view.order.id, each.token)
        assert found == each.view
    assert await _count(rig, "order_log") == await _count(rig, "nonce") == 40


async def _transactions(rig: Rig) -> int:
    """Of the whole database so far, as its own counters have it."""
    async with rig.desk.db.transaction() as tx:
        return int(await tx.fetchval("SELECT pg_current_xact_id()::text::bigint"))


async def test_one_key_in_one_batch_opens_one_order(rig: Rig) -> None:
    """The first has the token, the others its order without; another body is refused."""
    holder = await _holder(rig)
    asks = [_ask(rig, holder, number, key=b"k") for number in range(6)]
    asks[3] = msgspec.structs.replace(asks[3], body_hash=b"other".ljust(32))
    told = await _all(rig.desk, asks)
    opened = [each for each in told if isinstance(each, Opened)]
    assert [_why(each) for each in told].count(No.KEY_REUSED) == 1
    assert len({each.view.order.id for each in opened}) == 1
    assert [each.token is not None for each in opened] == [True, False, False, False, False]
    assert await _count(rig, "orders") == await _count(rig, "idempotency") == 1
    assert await _count(rig, "nonce") == 6


async def test_a_refused_first_does_not_use_up_the_key(rig: Rig) -> None:
    """Of two with one key in one batch the first is below the minimum: the second opens."""
    holder = await _holder(rig)
    low = msgspec.structs.replace(_ask(rig, holder, 1, key=b"k"), units=1)
    told = await _all(rig.desk, [low, _ask(rig, holder, 2, key=b"k")])
    assert _why(told[0]) in {No.BELOW_MIN, None}
    assert isinstance(told[1], Opened)
    again = await open_order(rig.desk, _ask(rig, holder, 3, key=b"k"))
    assert again.view.order.id == told[1].view.order.id
    assert again.token is None


async def test_one_key_at_two_processes_opens_one_order(rig: Rig, desk_dsns: Dsns) -> None:
    """Thirty at each of two: one order, one token, every answer the same order."""
    holder = await _holder(rig)
    async with twin_of(rig, desk_dsns.app) as twin:
        here = [_ask(rig, holder, number, key=b"k") for number in range(30)]
        there = [_ask(rig, holder, number, key=b"k") for number in range(100, 130)]
        told = await asyncio.gather(_all(rig.desk, here), _all(twin, there))
    opened = [each for side in told for each in side if isinstance(each, Opened)]
    assert len(opened) == 60, [each for side in told for each in side][:5]
    assert len({each.view.order.id for each in opened}) == 1
    assert sum(each.token is not None for each in opened) == 1
    assert await _count(rig, "orders") == 1


async def test_a_refusal_still_burns_and_charges(rig: Rig) -> None:
    """What is wrong with an order is its caller's business: nonce and weight are gone."""
    holder = await _holder(rig, budget=100)
    low = msgspec.structs.replace(_ask(rig, holder, 1), units=1)
    ours = (await rig.open()).view.order.address
    own = msgspec.structs.replace(_ask(rig, holder, 2), refund_address=ours)
    told = await _all(rig.desk, [low, own, _ask(rig, holder, 3)])
    assert [_why(each) for each in told] == [No.BELOW_MIN, No.INVALID, No.RATE_LIMIT]
    again = await _all(rig.desk, [_ask(rig, holder, number) for number in (1, 2, 3)])
    assert [_why(each) for each in again] == [No.AUTH_INVALID] * 3
    assert await _count(rig, "orders") == 1


async def test_one_nonce_in_one_batch_lets_one_in(rig: Rig) -> None:
    """Replays beside their first: one order; another partner may use the same nonce."""
    holder, other = await _holder(rig), await _holder(rig, "other")
    asks = [_ask(rig, holder, 1), _ask(rig, other, 1), *(_ask(rig, holder, 1) for _ in range(3))]
    told = await _all(rig.desk, asks)
    assert [isinstance(each, Opened) for each in told] == [True, True, False, False, False]
    assert [_why(each) for each in told[2:]] == [No.AUTH_INVALID] * 3


async def test_a_rotated_key_dies_in_the_middle_of_a_batch(rig: Rig) -> None:
    """Whoever was let in with what is no longer true is stale, burns nothing, and may come again;
    his neighbours in the batch are served."""
    holder, other = await _holder(rig), await _holder(rig, "other")
    for change in (
        "UPDATE credential SET version = version + 1 WHERE id = $1",
        "UPDATE credential SET enabled = false WHERE id = $1",
        "UPDATE partner SET markup_bps = 7 WHERE id = $1",
        "UPDATE partner SET enabled = false WHERE id = $1",
    ):
        async with rig.desk.db.transaction() as tx:
            whose = holder.partner_id if " partner " in change else holder.credential_id
            await tx.execute(change, whose)
        nonces = await _count(rig, "nonce")
        told = await _all(rig.desk, [_ask(rig, holder, nonces), _ask(rig, other, nonces)])
        assert isinstance(told[0], StaleHolder), change
        assert isinstance(told[1], Opened), change
        assert await _count(rig, "nonce") == nonces + 1


async def test_a_change_that_commits_while_a_batch_waits_counts(rig: Rig) -> None:
    """The batch stands before a locked partner: what it reads afterwards is what was committed."""
    holder = await _holder(rig)
    async with rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET enabled = false WHERE id = $1", holder.partner_id)
        waiting = asyncio.create_task(admit(rig.desk, Caller(holder, "nonce-of-a-waiter", 1)))
        async with asyncio.timeout(10):
            while not await _waits(rig):
                await asyncio.sleep(0.01)
        assert not waiting.done()
    with pytest.raises(StaleHolder):
        await waiting
    assert await _count(rig, "nonce") == 0


async def _waits(rig: Rig) -> bool:
    async with rig.desk.db.transaction() as tx:
        return bool(await tx.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"))


async def test_the_budget_is_exact_at_two_processes(rig: Rig, desk_dsns: Dsns) -> None:
    """Sixty creates of 50 on a budget of 1000 at two processes at once: twenty open."""
    holder = await _holder(rig, budget=1_000)
    async with twin_of(rig, desk_dsns.app) as twin:
        told = await asyncio.gather(
            _all(rig.desk, [_ask(rig, holder, number) for number in range(30)]),
            _all(twin, [_ask(rig, holder, number) for number in range(100, 130)]),
        )
    answers = [each for side in told for each in side]
    assert sum(isinstance(each, Opened) for each in answers) == 20
    assert [_why(each) for each in answers].count(No.RATE_LIMIT) == 40
    async with rig.desk.db.transaction() as tx:
        assert await tx.fetchval("SELECT sum(weight) FROM weight_charge") == 1_000
    assert await _count(rig, "nonce") == 60


async def test_a_light_call_fits_where_a_heavy_one_did_not(rig: Rig) -> None:
    """In one batch, in line: 60 + 60 of 100 is too much, 60 + 40 is not."""
    holder = await _holder(rig, budget=100)
    weights = [60, 60, 40, 1]
    callers = [Caller(holder, f"nonce-number-{w:06}-{n}", w) for n, w in enumerate(weights)]
    told = await asyncio.gather(*(admit(rig.desk, c) for c in callers), return_exceptions=True)
    assert [_why(each) for each in told] == [None, No.RATE_LIMIT, None, No.RATE_LIMIT]
    waits = [each.retry_after_seconds for each in told if isinstance(each, Refused)]
    assert waits == [60, 60]


class Doomed:
    """Clients that create until they know, while PostgreSQL's backends are killed at work."""

    def __init__(self, rig: Rig, holder: Holder, superuser: str) -> None:
        self.rig, self.holder, self.superuser = rig, holder, superuser
        self.answered: dict[bytes, Opened] = {}
        self.unknown = 0
        self.nonces = itertools.count()

    async def client(self) -> None:
        """Order after order, each with one key, until enough was killed."""
        while self.unknown < 40 and len(self.answered) < 2_000:
            key = hashlib.sha256(b"%d" % next(self.nonces)).digest()
            while key not in self.answered:
                try:
                    self.answered[key] = await open_order(self.rig.desk, self.ask(key))
                except Unknown:
                    self.unknown += 1

    def ask(self, key: bytes) -> OrderAsk:
        """The same order, whoever asks how often."""
        return _ask(self.rig, self.holder, next(self.nonces), key=key)

    async def kill(self) -> None:
        """End whatever is at work, again and again."""
        connection = await asyncpg.connect(self.superuser)
        try:
            while True:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'desk_app' AND datname = current_database()"
                    " AND state <> 'idle'"
                )
                await asyncio.sleep(0.03)
        finally:
            await connection.close()


async def test_postgres_killed_in_flight_leaves_nobody_in_doubt(rig: Rig, desk_dsns: Dsns) -> None:
    """Whoever is told nothing asks again with the same key: each key has opened exactly one order,
    the one that was answered."""
    doomed = Doomed(rig, await _holder(rig, budget=2_000_000_000), desk_dsns.superuser)
    killer = asyncio.create_task(doomed.kill())
    async with asyncio.timeout(60):
        await asyncio.gather(*(doomed.client() for _ in range(20)))
    killer.cancel()
    await asyncio.wait([killer])
    assert doomed.unknown, "no connection died in flight"
    keys = len(doomed.answered)
    assert len({opened.view.order.id for opened in doomed.answered.values()}) == keys
    assert await _count(rig, "orders") == await _count(rig, "idempotency") == keys
    for key, opened in doomed.answered.items():
        repeated = await open_order(rig.desk, doomed.ask(key))
        assert (repeated.view.order.id, repeated.token) == (opened.view.order.id, None)


async def test_indexes_are_never_drawn_twice(rig: Rig, desk_dsns: Dsns) -> None:
    """Two processes draw at once, one forgets its stock, one rolls back: holes, no repetition."""
    drawn: list[tuple[int, str]] = []
    async with twin_of(rig, desk_dsns.app) as twin:

        async def draw(desk: Desk) -> None:
            for count in (1, 3, 40, LEASE + 5):
                async with desk.db.transaction() as tx:
                    drawn.extend(await desk.pay_in.take(tx, "bitcoin", count))

        await asyncio.gather(*(draw(desk) for desk in (rig.desk, twin) for _ in range(3)))
    async with twin_of(rig, desk_dsns.app) as born_again:
        async with born_again.db.connection() as tx:
            lost = tx.transaction()
            await lost.start()
            drawn.extend(await born_again.pay_in.take(tx, "bitcoin", 5))
            await lost.rollback()
        await draw(born_again)
    assert len(drawn) == len({index for index, _ in drawn}) == len({a for _, a in drawn})
    assert all(rig.desk.pay_in.address("bitcoin", i) == a for i, a in drawn[:20])


async def test_the_stock_is_filled_ahead_and_used_first(rig: Rig) -> None:
    """After filling, an order takes what is derived already and leases nothing."""
    await rig.desk.pay_in.fill(rig.desk.db)
    stocks = rig.desk.pay_in._stocks
    assert {len(stock.derived) for stock in stocks.values()} == {STOCK}
    first = stocks["bitcoin"].derived[0]
    order = (await rig.open()).view.order
    assert (order.address_index, order.address) == first
    assert len(stocks["bitcoin"].derived) == STOCK - 1
    async with rig.desk.db.transaction() as tx:
        next_index = await tx.fetchval("SELECT nextval('deposit_index_bitcoin')")
    assert next_index >= STOCK
