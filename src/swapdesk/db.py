"""PostgreSQL: pool, int-only money codec, transactions, batches, named statements, migrations.

SQL lives in `.sql` files next to the room that uses it and reaches asyncpg by name. Money columns
take `int` and nothing else: a float, a Decimal, a bool never gets as far as the server.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

import asyncpg

from swapdesk.errors import No, Refused

if TYPE_CHECKING:  # half a second of imports and 20 MB that only a migration needs
    from sqlalchemy import Connection

Tx: TypeAlias = (
    "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"
)
Row = asyncpg.Record
T = TypeVar("T")
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

#: Connections one process keeps. Web and worker need few: a transaction lasts milliseconds.
POOL_SIZE_MAX: Final = 10
#: A statement that runs longer is broken, not slow.
STATEMENT_SECONDS_MAX: Final = 30
#: Nobody holds a lock for longer than milliseconds; whoever waits this long gives up.
LOCK_SECONDS_MAX: Final = 5
#: How long an answer of the server may take before its connection counts as lost.
COMMAND_SECONDS_MAX: Final = STATEMENT_SECONDS_MAX + 5
#: A transaction left open by a process that hangs is ended, so that its locks do not stay.
IDLE_SECONDS_MAX: Final = 30
#: How often a transaction is tried again after a serialisation failure or a deadlock.
TRIES_MAX: Final = 5
#: Key of the advisory lock that lets one migration run at a time, and its patience.
MIGRATION_LOCK: Final = 0x53574150
MIGRATION_SECONDS_MAX: Final = 120

#: A connection lives as long as it works: a new one has to prepare everything again.
QUERIES_MAX: Final = 2**40
#: Statements one connection keeps prepared; there are fewer.
STATEMENTS_MAX: Final = 500
#: Rows of one batch, and rows that may wait for the next; beyond that callers are sent away.
BATCH_ROWS_MAX: Final = 256
WAITING_MAX: Final = 4_096
#: What a caller who was sent away is told to wait.
FULL_SECONDS: Final = 1

_NAME: Final = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)


def _encode_units(value: object) -> str:
    if type(value) is not int:
        raise TypeError(f"money is an int of minor units, not {type(value).__name__}")
    return str(value)


async def set_codecs(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make a connection refuse anything but `int` for money. ValueError on reading a fraction.

    The domains `units` and `signed_units` follow their base type.
    """
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=_encode_units, decoder=int, format="text"
    )


class Database:
    """A pool on one database. `async with db.transaction() as tx` is one use case."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.pool = pool

    @classmethod
    async def open(cls, dsn: str, *, size: int = POOL_SIZE_MAX, name: str = "swapdesk") -> Database:
        """Connect. `name` shows in pg_stat_activity. asyncpg errors pass through."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            init=set_codecs,
            reset=_keep_session,
            max_queries=QUERIES_MAX,
            statement_cache_size=STATEMENTS_MAX,
            command_timeout=COMMAND_SECONDS_MAX,
            server_settings={
                "application_name": name,
                "statement_timeout": str(STATEMENT_SECONDS_MAX * 1000),
                "lock_timeout": str(LOCK_SECONDS_MAX * 1000),
                "idle_in_transaction_session_timeout": str(IDLE_SECONDS_MAX * 1000),
            },
        )
        return cls(pool)

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One transaction on one connection: committed at the end, rolled back on any exception."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """One connection on which each statement is a transaction of its own."""
        async with self.pool.acquire() as connection:
            yield connection

    async def retrying(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `work(tx)` in a transaction; again from the start after 40001 or 40P01."""
        for _ in range(TRIES_MAX - 1):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                continue
        async with self.transaction() as tx:
            return await work(tx)


async def _keep_session(_connection: object) -> None:
    """Nothing: what a transaction sets is SET LOCAL. asyncpg's own reset costs a round trip."""


class Unknown(Exception):
    """The connection broke with a transaction in flight: it was committed, or it was not."""


#: After these nobody can tell whether a transaction was committed.
_LOST: Final = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Gather(Generic[Ask, Answer]):
    """What arrives while a batch is in flight goes together as the next one. Nothing ever waits
    for company: a row that comes alone goes alone, at once.

    `work` answers each row, in order; an answer that is an exception is raised for that row only.
    An `atomic` batch that fails is rolled back, so its rows are tried again one by one, and a row
    that no batch survives fails alone. When the connection breaks, nothing is tried again: every caller
    of the batch gets Unknown, and asks again with the same idempotency key.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer | Exception]]],
        *,
        atomic: bool = True,
        rows_max: int = BATCH_ROWS_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._work = work
        self._atomic = atomic
        self._rows_max = rows_max
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Ask, asyncio.Future[Answer]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, row: Ask) -> Answer:
        """The answer to `row`. Refused UNAVAILABLE when too many wait; Unknown; what `work` raises.

        A caller who gives up leaves the batch as it is; if it has not begun, his row is left out.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Refused(No.UNAVAILABLE, "too many calls wait", retry_after_seconds=FULL_SECONDS)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        """Batch after batch until nobody waits."""
        try:
            while batch := self._next():
                rows = [row for row, _ in batch]
                try:
                    answers = await self._answers(rows)
                except BaseException as died:  # this task was cancelled, or worse
                    for _, future in (*batch, *self._waiting):
                        _settle(future, died)
                    self._waiting.clear()
                    raise
                for (_, future), answer in zip(batch, answers, strict=True):
                    _settle(future, answer)
        finally:
            self._running = None

    def _next(self) -> list[tuple[Ask, asyncio.Future[Answer]]]:
        batch: list[tuple[Ask, asyncio.Future[Answer]]] = []
        while self._waiting and len(batch) < self._rows_max:
            row, answer = self._waiting.popleft()
            if not answer.done():  # cancelled while it waited
                batch.append((row, answer))
        return batch

    async def _answers(self, rows: Sequence[Ask]) -> Sequence[Answer | Exception]:
        try:
            answers = await self._work(rows)
            assert len(answers) == len(rows), "one answer per row"
        except Exception as failed:  # noqa: BLE001 - whatever it is belongs to its caller
            if isinstance(failed, _LOST) and not isinstance(failed, asyncpg.DataError):
                return [_unknown(failed) for _ in rows]
            if len(rows) == 1 or not self._atomic:
                return [_told(failed) for _ in rows]
        else:
            return answers
        alone = await asyncio.gather(*(self._answers([row]) for row in rows))
        return [answer for (answer,) in alone]


def _told(failed: Exception) -> Exception:
    """What the caller of a row that failed is told."""
    if isinstance(failed, asyncpg.LockNotAvailableError):
        return Refused(No.UNAVAILABLE, "locked", retry_after_seconds=FULL_SECONDS)
    return failed


def _settle(future: asyncio.Future[Answer], answer: Answer | BaseException) -> None:
    """Hand an answer to its caller, if he still waits for it."""
    if future.done():
        return
    if isinstance(answer, asyncio.CancelledError):
        future.cancel()
    elif isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _unknown(why: Exception) -> Unknown:
    unknown = Unknown(f"{type(why).__name__}: {why}")
    unknown.__cause__ = why
    return unknown


class Queries:
    """The named statements of one `.sql` file, as attributes: `Q.lock`."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        pieces = _NAME.split(text)
        self.statements = {
            name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)
        }
        if len(self.statements) * 2 + 1 != len(pieces):
            raise ValueError(f"{source}: a statement name occurs twice")

    def __getattr__(self, name: str) -> str:
        try:
            return self.statements[name]
        except KeyError:
            raise AttributeError(f"{self.source} has no statement named {name!r}") from None


def queries(package: str, file: str) -> Queries:
    """Load `file` that lies in `package`: `Q = queries(__package__, "store.sql")`."""
    return Queries(f"{package}/{file}", resources.files(package).joinpath(file).read_text())


async def migrate(dsn_owner: str, room: Literal["desk", "vault"]) -> None:
    """Bring the schema of a database to the newest version. Safe to run concurrently.

    One migration runs at a time: the lock is *polled* on a connection of its own, because a
    blocking wait would hold a snapshot and deadlock with CREATE INDEX CONCURRENTLY.
    """
    package = {"desk": "swapdesk.migrations", "vault": "swapdesk_vault.migrations"}[room]
    lock = await asyncpg.connect(dsn_owner)
    try:
        async with asyncio.timeout(MIGRATION_SECONDS_MAX):
            while not await lock.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
                await asyncio.sleep(0.05)
        await _upgrade(dsn_owner, package)
    finally:
        await lock.close()


async def _upgrade(dsn_owner: str, package: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - see TYPE_CHECKING

    async def connect(*_: Any, **__: Any) -> Any:
        return await asyncpg.connect(dsn_owner)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run_alembic, package)
    finally:
        await engine.dispose()


def run_script(connection: Connection, text: str) -> None:
    """Run a migration's whole text, many statements, in the transaction that alembic opened.

    SQLAlchemy prepares what it executes, and PostgreSQL prepares one statement at a time; asyncpg's
    own `execute` sends a script. The SELECT makes sure that the transaction has begun.
    """
    from sqlalchemy.util import await_only  # noqa: PLC0415 - see TYPE_CHECKING

    connection.exec_driver_sql("SELECT 1")
    driver: Any = connection.connection.driver_connection
    await_only(driver.execute(text))


def _run_alembic(connection: Connection, package: str) -> None:
    from alembic import command  # noqa: PLC0415 - see TYPE_CHECKING
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(resources.files(package)))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
