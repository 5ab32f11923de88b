"""The journal's database says no by itself: every row here is written past the code."""

import inspect
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from swapdesk import db
from swapdesk_vault import journal as journal_module
from swapdesk_vault.journal import Journal, Q
from swapdesk_vault.operator import initialise
from swapdesk_vault.payment import Prepared, Worth
from tests.postgres import Dsns
from tests.vault.site import Site

pytestmark = pytest.mark.anyio

Connection = Any
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
CHECK, UNIQUE, FOREIGN = (
    asyncpg.CheckViolationError,
    asyncpg.UniqueViolationError,
    asyncpg.ForeignKeyViolationError,
)
DENIED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def app(vault_dsns: Dsns) -> AsyncIterator[Connection]:
    """A connection as vault_app on an initialised database at fence 1, with two bound orders."""
    from swapdesk.world import RealWorld

    await initialise(vault_dsns.owner, RealWorld(), "dev", "ab" * 32)
    connection = await asyncpg.connect(vault_dsns.app)
    await db.set_codecs(connection)
    await connection.execute("UPDATE vault_meta SET fence = 1")
    for index, order in enumerate((A, B)):
        await bind(connection, order, index)
    yield connection
    await connection.close()


async def bind(app: Connection, order: uuid.UUID, index: int, address: str | None = None) -> None:
    """A binding row."""
    await app.execute(
        "INSERT INTO binding VALUES ($1, 'litecoin', $2, 'litecoin', $3, 'ltc', 'usdt_trc20',"
        " 'to', 'back', 0, 'sig', 0, 1)",
        order, index, address or f"address {index}",
    )  # fmt: skip


async def pay(app: Connection, order: uuid.UUID, attempt: int = 1, **change: Any) -> None:
    """A payment row, unsigned."""
    row = {
        "order_id": order, "attempt": attempt, "kind": "payout", "network": "tron",
        "asset": "usdt_trc20", "units": 5, "destination": "to", "covers_units": 7,
        "stored_ms": 0, "fence": 1, "next_ms": 0, **change,
    }  # fmt: skip
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await app.execute(f"INSERT INTO payment ({', '.join(row)}) VALUES ({places})", *row.values())


async def sign(app: Connection, order: uuid.UUID, attempt: int = 1, txid: str = "t") -> None:
    """What `Journal.keep` does, step by step."""
    await app.execute(
        "UPDATE payment SET signed_ms = 1 WHERE order_id = $1 AND attempt = $2", order, attempt
    )
    await app.execute(
        "INSERT INTO signed (network, txid, order_id, attempt, variant, purpose, raw, fee_units,"
        " since_height, paid_usd, received_usd, late, signed_ms, fence)"
        " VALUES ('tron', $1, $2, $3, 1, 'pay', 'raw', 1, 0, 1, 1, false, 1, 1)",
        txid, order, attempt,
    )  # fmt: skip


async def refused(app: Connection, error: type[Exception], statement: str, *args: Any) -> None:
    """The database does not take it."""
    with pytest.raises(error):
        await app.execute(statement, *args)


async def test_one_live_payment_per_order(app: Connection) -> None:
    """A second attempt beside a live one is a unique violation; after its end it is welcome."""
    await pay(app, A)
    with pytest.raises(UNIQUE):
        await pay(app, A, 2)
    await app.execute(Q.refuse, A, 1, 5, "why")
    await pay(app, A, 2)


async def test_no_refusal_once_bytes_are_signed(app: Connection) -> None:
    """Refused with signed bytes is a check violation, in both orders of doing it."""
    await pay(app, A)
    await sign(app, A)
    await refused(app, CHECK, Q.refuse, A, 1, 5, "why")
    await refused(app, CHECK, "UPDATE payment SET signed_ms = NULL")
    await pay(app, B)
    await app.execute(Q.refuse, B, 1, 5, "why")
    with pytest.raises((CHECK, FOREIGN)):
        await sign(app, B, txid="u")


async def test_signed_bytes_need_a_payment_marked_as_signed(app: Connection) -> None:
    """A signed row for an unsigned payment has nothing to refer to."""
    await pay(app, A)
    await refused(
        app, FOREIGN,
        "INSERT INTO signed (network, txid, order_id, attempt, variant, purpose, raw, fee_units,"
        " since_height, paid_usd, received_usd, late, signed_ms, fence)"
        " VALUES ('tron', 't', $1, 1, 1, 'pay', 'raw', 1, 0, 1, 1, false, 1, 1)", A,
    )  # fmt: skip


async def test_only_signed_payments_end_on_the_chain(app: Connection) -> None:
    """final, conflicted and reverted need signed bytes, and a txid of a signed row."""
    await pay(app, A)
    for outcome in ("final", "conflicted", "reverted"):
        await refused(app, CHECK, Q.end, A, 1, 5, outcome, "t")
    await sign(app, A)
    await refused(app, FOREIGN, Q.end, A, 1, 5, "final", "another")
    await app.execute(Q.end, A, 1, 5, "final", "t")
    await refused(app, CHECK, "UPDATE payment SET ended_ms = NULL, outcome = NULL")
    await refused(app, CHECK, Q.trouble, A, 1, "late", None, 9)


async def test_signed_payments_go_where_the_order_was_bound(app: Connection) -> None:
    """A payout to another destination, a refund elsewhere, an unbound order: never signed."""
    await pay(app, A, destination="thief")
    await refused(app, FOREIGN, "UPDATE payment SET signed_ms = 1")
    await app.execute(Q.refuse, A, 1, 5, "why")
    await pay(app, A, 2, kind="refund", asset="ltc")
    await refused(app, FOREIGN, "UPDATE payment SET signed_ms = 1 WHERE attempt = 2")
    await app.execute(Q.refuse, A, 2, 5, "why")
    await pay(app, uuid.UUID(int=9))
    await refused(app, FOREIGN, "UPDATE payment SET signed_ms = 1 WHERE ended_ms IS NULL")


async def test_one_payout_per_order(app: Connection) -> None:
    """A second signed payout is a unique violation, while live and after a final one."""
    await pay(app, A)
    await sign(app, A)
    await app.execute(Q.end, A, 1, 5, "final", "t")
    await pay(app, A, 2)
    await refused(app, UNIQUE, "UPDATE payment SET signed_ms = 1 WHERE attempt = 2")


async def test_bindings_are_unique_and_stay(app: Connection) -> None:
    """One index and one address per order; no change, no removal."""
    with pytest.raises(UNIQUE):
        await bind(app, uuid.UUID(int=3), 0)
    with pytest.raises(UNIQUE):
        await bind(app, uuid.UUID(int=3), 5, "address 1")
    await refused(app, DENIED, "UPDATE binding SET destination = 'thief'")
    await refused(app, DENIED, "DELETE FROM binding")


async def test_coins_and_nonces_belong_to_one_payment(app: Connection) -> None:
    """The same outpoint or nonce for another payment is a unique violation."""
    await pay(app, A)
    await pay(app, B)
    await app.execute(Q.claim_input, "bitcoin", "t", 0, A, 1, 1)
    await app.execute(Q.claim_nonce, "tron", "hot", 0, A, 1, 1)
    await refused(app, UNIQUE, Q.claim_input, "bitcoin", "t", 0, B, 1, 1)
    await refused(app, UNIQUE, Q.claim_nonce, "tron", "hot", 0, B, 1, 1)
    await refused(app, UNIQUE, Q.claim_nonce, "tron", "hot", 1, A, 1, 1)


@pytest.mark.parametrize(
    "table", ["binding", "signed", "spent_input", "nonce", "hot_account", "event", "stop"]
)
async def test_what_was_journalled_stays(app: Connection, table: str) -> None:
    """vault_app can neither change nor remove a row."""
    await refused(app, DENIED, f"DELETE FROM {table}")
    await refused(app, DENIED, f"UPDATE {table} SET fence = fence")
    await refused(app, DENIED, f"TRUNCATE {table}")


@pytest.mark.parametrize("table", ["payment", "report", "hint", "vault_meta"])
async def test_rows_that_move_on_cannot_be_removed(app: Connection, table: str) -> None:
    """vault_app removes none of them, and changes only what moves."""
    await refused(app, DENIED, f"DELETE FROM {table}")
    await refused(app, DENIED, "UPDATE payment SET destination = 'thief'")
    await refused(app, DENIED, "UPDATE payment SET units = 9")
    await refused(app, DENIED, "UPDATE report SET txid = 'x'")


async def test_only_the_owner_clears_a_stop_and_judges(app: Connection) -> None:
    """The running vault cannot lift what stopped it."""
    await app.execute(Q.stop, 1, 1, "bad")
    await refused(app, DENIED, Q.resume, 2, "never mind")
    await refused(app, DENIED, Q.verdict, A, 1, "approve", 2, "never mind")
    await refused(app, DENIED, "ALTER TABLE payment DISABLE TRIGGER ALL")


async def test_a_vault_keeps_its_world(vault_dsns: Dsns, app: Connection) -> None:
    """Not even the owner moves a vault to another world or seed, or turns the fence back."""
    await refused(app, DENIED, "UPDATE vault_meta SET world = 'main'")
    owner = await asyncpg.connect(vault_dsns.owner)
    try:
        await refused(owner, CHECK, "UPDATE vault_meta SET world = 'main', fence = fence + 1")
        await refused(owner, CHECK, "UPDATE vault_meta SET link_key = repeat('c', 64)")
        await refused(owner, CHECK, "UPDATE vault_meta SET fence = fence")
        await refused(owner, CHECK, "DELETE FROM vault_meta")
        await refused(owner, UNIQUE, Q.initialise.replace("ON CONFLICT DO NOTHING", ""),
                      "main", "cd" * 32, 1)  # fmt: skip
    finally:
        await owner.close()


async def test_an_older_fence_writes_nothing(app: Connection) -> None:
    """A vault that was replaced but still lives cannot journal."""
    await app.execute("UPDATE vault_meta SET fence = 2")
    await refused(app, CHECK, Q.claim_nonce, "tron", "hot", 0, A, 1, 1)
    with pytest.raises(CHECK):
        await pay(app, A)
    await refused(app, CHECK, Q.stop, 1, 1, "old")


@pytest.mark.parametrize("bad", [1.5, Decimal("0.5"), float("nan"), True, 10**78, -1, "1"])
async def test_money_columns_take_whole_units_only(app: Connection, bad: Any) -> None:
    """Neither the codec nor the domain lets anything but whole units through."""
    for column in ("units", "covers_units"):
        with pytest.raises((asyncpg.DataError, CHECK)):
            await pay(app, A, **{column: bad})


async def test_every_statement_fits_the_schema(vault_dsns: Dsns) -> None:
    """Each named statement is prepared against the migrated schema."""
    owner = await asyncpg.connect(vault_dsns.owner)
    try:
        for text in Q.statements.values():
            await owner.prepare(text)
    finally:
        await owner.close()
    source = inspect.getsource(journal_module)
    assert "SELECT" not in source.replace("SELECT pg_try_advisory_lock", "")


async def test_keep_is_all_or_nothing(site: Site) -> None:
    """A taken nonce leaves the second payment unsigned, with nothing of it in the journal."""
    vault = await site.vault()
    journal: Journal = vault._journal
    orders = [site.open(), site.open()]
    await vault.tick()
    for binding in orders:
        site.ask(binding, 5, 7)
    await vault._pull_intents()
    first, second = await journal.live()
    worth = Worth(1, 1, late=False)
    await journal.keep(first, Prepared(b"1", "t1", 1, 0, nonce=("hot", 7)), worth)
    with pytest.raises(UNIQUE):
        await journal.keep(second, Prepared(b"2", "t2", 1, 0, nonce=("hot", 7)), worth)
    with pytest.raises(AssertionError):
        await journal.keep(first, Prepared(b"3", "t3", 1, 0, nonce=("hot", 8)), worth)
    assert await journal.variants(second) == []
    assert [each.signed_ms is None for each in await journal.live()] == [False, True]
    await vault.close()


async def test_a_cancelled_payment_ends_as_conflicted(site: Site) -> None:
    """Our own journalled transaction with the same nonce, final: the only way to conflicted."""
    from swapdesk_vault.senders import simulated_tx

    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * 10**6, 10**8, site.pay_in(binding, 10**8))
    await vault.tick()
    journal: Journal = vault._journal
    [payment] = await journal.live()
    sender: Any = vault._senders["tron"]
    tx = simulated_tx.build(
        sender.network, sender._key, nonce=0, to=sender.address, asset="trx", units=1,
        fee_units=5_000,
    )  # fmt: skip
    raw = simulated_tx.sign(tx, sender._key)
    await journal.connection.execute(
        Q.keep_cancel, "tron", simulated_tx.txid(raw), payment.order_id, 1, raw, 5_000, 0,
        site.world.now(), journal.fence,
    )  # fmt: skip
    await sender.broadcast(raw)
    site.mine()
    await vault.tick()
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == ["sent", "conflicted"]
    assert site.received("usdt_trc20") == 0
    site.ask(binding, 99 * 10**6, 10**8, site.desk.intents[0].deposits[0], attempt=2)
    for _ in range(3):
        await vault.tick()
        site.mine()
    await vault.tick()
    assert site.desk.outcomes(binding.order_id, 2) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * 10**6
    await vault.close()
