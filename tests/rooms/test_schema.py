"""The schema refuses what code forgets; SQL in files prepares; money columns take integers only."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from swapdesk import db
from swapdesk.orders.states import MOVES
from swapdesk.roles import ROOMS
from tests.postgres import Dsns

pytestmark = pytest.mark.anyio

ROOT = Path(str(resources.files("swapdesk"))).parent
FILES = {
    "desk": sorted(ROOT.glob("swapdesk/*/*.sql")),
    "vault": sorted(ROOT.glob("swapdesk_vault/*.sql")),
}
Room = Literal["desk", "vault"]


@pytest.fixture(params=["desk", "vault"])
def room(request: pytest.FixtureRequest) -> Room:
    """Each of the two databases."""
    found: Room = request.param
    return found


@pytest.fixture
def dsns(room: Room, request: pytest.FixtureRequest) -> Dsns:
    """A fresh database of the room."""
    found: Dsns = request.getfixturevalue(f"{room}_dsns")
    return found


@pytest.fixture
async def owner(dsns: Dsns) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner, with the money codec."""
    connection = await asyncpg.connect(dsns.owner)
    await db.set_codecs(connection)
    yield connection
    await connection.close()


async def test_every_named_statement_prepares(room: Room, dsns: Dsns) -> None:
    """All SQL in files is valid against the real schema, as the runtime role."""
    assert FILES[room]
    connection = await asyncpg.connect(dsns.app)
    try:
        for file in FILES[room]:
            statements = db.Queries(str(file), file.read_text()).statements
            assert statements, f"{file} names no statement"
            for name, text in statements.items():
                try:
                    await connection.prepare(text)
                except asyncpg.PostgresError as wrong:
                    pytest.fail(f"{file.name}: {name}: {wrong}")
    finally:
        await connection.close()


async def _money_columns(owner: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await owner.fetch(
        "SELECT table_name, column_name, domain_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type IN ('numeric', 'double precision', 'real')"
    )
    loose = [row["column_name"] for row in rows if row["domain_name"] is None]
    assert not loose, f"numbers outside the money domains: {loose}"
    return [(row["table_name"], row["column_name"]) for row in rows]


async def test_money_columns_take_integers_and_nothing_else(owner: asyncpg.Connection) -> None:
    """1.5, Decimal, NaN, True and 10**78 are refused by every money column; 10**78 - 1 is not."""
    columns = await _money_columns(owner)
    assert columns
    for table, column in columns:
        statement = f'UPDATE "{table}" SET "{column}" = $1 WHERE false RETURNING "{column}"'
        for bad in (1.5, Decimal("0.5"), Decimal("NaN"), float("nan"), True, "1"):
            with pytest.raises(asyncpg.DataError):
                await owner.fetch(statement, bad)
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.fetch(statement, 10**78)
        await owner.fetch(statement, 10**78 - 1)


@pytest.mark.parametrize("value", ["1.5", "-1", "NaN", "1e78", "Infinity"])
async def test_the_domain_itself_refuses(owner: asyncpg.Connection, value: str) -> None:
    """Also when SQL text gets past the codec."""
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.DataError)):
        await owner.execute(f"SELECT '{value}'::units")


async def test_allowed_moves_are_the_table(desk_dsns: Dsns) -> None:
    """The database knows exactly the declared moves."""
    connection = await asyncpg.connect(desk_dsns.app)
    rows = await connection.fetch("SELECT from_state, cause, to_state FROM allowed_move")
    await connection.close()
    assert {tuple(row) for row in rows} == {
        (s.value, c.value, t.value) for (s, c), t in MOVES.items()
    }


async def test_migrations_may_run_at_the_same_time(room: Room, dsns: Dsns) -> None:
    """Four at once on one database: each ends well, nothing is done twice."""
    await asyncio.gather(*(db.migrate(dsns.owner, room) for _ in range(4)))


async def test_runtime_roles_are_nobody(room: Room, dsns: Dsns) -> None:
    """No superuser, owns nothing, cannot connect to the other room's database."""
    connection = await asyncpg.connect(dsns.app)
    try:
        role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
        assert role is not None
        assert not any(
            role[k] for k in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolbypassrls")
        )
        owned = await connection.fetchval(
            "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles"
            " WHERE rolname = current_user)"
        )
        assert owned == 0
        other = {"desk": "vault", "vault": "desk"}[room]
        for database in (other, "postgres"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await (await asyncpg.connect(dsns.app, database=database)).close()
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE posting SET units = 1",
        "DELETE FROM posting",
        "UPDATE ledger_entry SET kind = 'x'",
        "DELETE FROM ledger_entry",
        "UPDATE order_log SET cause = NULL",
        "DELETE FROM order_log",
        "UPDATE account_balance SET units = 0",
        "INSERT INTO account_balance VALUES ('desk/capital', 'btc', 1)",
        "INSERT INTO allowed_move VALUES ('DONE', 'DEPOSIT_GOOD', 'PAYING')",
        "DELETE FROM pay_in_address",
        "UPDATE pay_in_address SET order_id = gen_random_uuid()",
        "DELETE FROM orders",
        "DELETE FROM deposit",
        "DELETE FROM payout_intent",
        "TRUNCATE posting",
        "ALTER TABLE payout_intent DROP CONSTRAINT payout_intent_pkey",
        "ALTER TABLE posting DISABLE TRIGGER ALL",
        "DROP INDEX payout_intent_one_live",
        "ALTER DOMAIN units DROP CONSTRAINT units_check",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (x int)",
        "SELECT setval('deposit_index_bitcoin', 1)",
    ],
)
async def test_the_desk_cannot_rewrite_history(desk_dsns: Dsns, statement: str) -> None:
    """The runtime role may neither change nor forget postings, logs, addresses or constraints."""
    connection = await asyncpg.connect(desk_dsns.app)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def _entry(connection: asyncpg.Connection, *lines: tuple[str, str, int]) -> None:
    entry = uuid.uuid4()
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO ledger_entry VALUES ($1, $2, 'test', NULL, 0)", entry, str(entry)
        )
        for line, (account, asset, units) in enumerate(lines):
            await connection.execute(
                "INSERT INTO posting VALUES ($1, $2, $3, $4, $5)",
                entry,
                line,
                account,
                asset,
                units,
            )


async def test_an_entry_that_does_not_balance_cannot_be_committed(desk_dsns: Dsns) -> None:
    """Per asset, not only in total; and an order can never come to owe us."""
    connection = await asyncpg.connect(desk_dsns.app)
    await db.set_codecs(connection)
    try:
        await _entry(connection, ("desk/a", "btc", 5), ("desk/b", "btc", -5))
        with pytest.raises(asyncpg.CheckViolationError):
            await _entry(connection, ("desk/a", "btc", 5), ("desk/b", "btc", -4))
        with pytest.raises(asyncpg.CheckViolationError):
            await _entry(connection, ("desk/a", "btc", 5), ("desk/b", "eth", -5))
        with pytest.raises(asyncpg.CheckViolationError):
            await _entry(connection, ("order/x", "btc", 5), ("desk/b", "btc", -5))
        balance = await connection.fetchval(
            "SELECT units FROM account_balance WHERE account = 'desk/a' AND asset = 'btc'"
        )
        assert balance == 5
    finally:
        await connection.close()


async def test_databases_are_named_after_their_rooms() -> None:
    """The role test above looks for the right neighbours."""
    assert set(ROOMS) == {"desk", "vault"}
