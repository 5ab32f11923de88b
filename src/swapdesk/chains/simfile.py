"""The file of a simulated chain: blocks, transactions, balances in SQLite. Rules are in simchain.

Every method runs inside the caller's `transaction`. What was committed survives the death of the
process, not that of the machine: it is a chain for development.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

from swapdesk.chains.reader import BlockRef

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS block (
    height INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, parent TEXT NOT NULL,
    time_ms INTEGER NOT NULL
);
-- Waiting while height is null. Faucet transactions have no sender. Units outgrow 64 bits: text.
CREATE TABLE IF NOT EXISTS tx (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, txid TEXT NOT NULL UNIQUE, raw BLOB NOT NULL,
    sender TEXT, nonce INTEGER NOT NULL, recipient TEXT NOT NULL, asset TEXT NOT NULL,
    units TEXT NOT NULL, fee_units TEXT NOT NULL,
    height INTEGER, place INTEGER, ok INTEGER,
    UNIQUE (sender, nonce)
);
CREATE INDEX IF NOT EXISTS tx_height ON tx (height, place);
CREATE TABLE IF NOT EXISTS balance (
    address TEXT, asset TEXT, units TEXT NOT NULL, PRIMARY KEY (address, asset)
);
CREATE TABLE IF NOT EXISTS frozen (address TEXT, asset TEXT, PRIMARY KEY (address, asset));
"""
_TX: Final = "SELECT txid, sender, nonce, recipient, asset, units, fee_units, height, ok FROM tx "


class Row(msgspec.Struct, array_like=True):
    """A transaction as the file holds it."""

    txid: str
    sender: str | None  #: None: from the faucet
    nonce: int
    to: str
    asset: str
    units: int
    fee_units: int
    height: int | None  #: None: waiting in the mempool
    ok: bool | None  #: None: waiting; False: in a block, but only its fee moved


class SimFile:
    """One open file."""

    def __init__(self, path: str) -> None:
        """Opens or creates `path`; ":memory:" lives as long as this object."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is kept, or with an exception nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def tip(self) -> BlockRef | None:
        """The newest block; None before the first."""
        return self.ref("height", self._one("SELECT max(height) FROM block"))

    def ref(self, column: Literal["height", "hash"], value: object) -> BlockRef | None:
        """The block with this height or hash."""
        query = f"SELECT height, hash, parent, time_ms FROM block WHERE {column} = ?"  # noqa: S608 one of two words
        row = self._db.execute(query, (value,)).fetchone()
        return BlockRef(*row) if row else None

    def add_block(self, ref: BlockRef) -> None:
        """Put a block on top."""
        row = (ref.height, ref.hash, ref.parent, ref.time_ms)
        self._db.execute("INSERT INTO block VALUES (?, ?, ?, ?)", row)

    def cut(self, first: int, *, keep: bool) -> None:
        """Remove the blocks from height `first` on; their transactions wait again or go too."""
        if not keep:
            self._db.execute("DELETE FROM tx WHERE height >= ?", (first,))
        query = "UPDATE tx SET height = NULL, place = NULL, ok = NULL WHERE height >= ?"
        self._db.execute(query, (first,))
        self._db.execute("DELETE FROM block WHERE height >= ?", (first,))

    def rows(self, where: str, *args: object) -> list[Row]:
        """Transactions by the rest of a query."""
        found = self._db.execute(_TX + where, args).fetchall()
        return [msgspec.convert(row, Row, strict=False) for row in found]

    def waiting(self) -> int:
        """How many transactions wait."""
        return self._one("SELECT count(*) FROM tx WHERE height IS NULL") or 0

    def next_nonce(self, sender: str) -> int:
        """How many transactions of a sender are in blocks."""
        query = "SELECT count(*) FROM tx WHERE sender = ? AND height IS NOT NULL"
        return self._one(query, sender) or 0

    def add(self, row: Row, raw: bytes) -> None:
        """Keep a waiting transaction, in place of the one with its sender and nonce."""
        self._db.execute(
            "INSERT OR REPLACE INTO tx "
            "(txid, raw, sender, nonce, recipient, asset, units, fee_units) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (row.txid, raw, row.sender, row.nonce, row.to, row.asset, str(row.units),
             str(row.fee_units)),
        )  # fmt: skip

    def mined(self, txid: str, height: int, place: int, *, ok: bool) -> None:
        """Give a waiting transaction its place in a block."""
        query = "UPDATE tx SET height = ?, place = ?, ok = ? WHERE txid = ?"
        self._db.execute(query, (height, place, ok, txid))

    def evict(self, txid: str) -> bool:
        """Forget a waiting transaction; False when it does not wait."""
        query = "DELETE FROM tx WHERE txid = ? AND height IS NULL"
        return self._db.execute(query, (txid,)).rowcount == 1

    def balance(self, address: str, asset: str) -> int:
        """Units of an asset at an address."""
        query = "SELECT units FROM balance WHERE address = ? AND asset = ?"
        row = self._db.execute(query, (address, asset)).fetchone()
        return int(row[0]) if row else 0

    def move(self, address: str, asset: str, units: int) -> None:
        """Add to a balance, or take from it."""
        total = self.balance(address, asset) + units
        assert total >= 0
        row = (address, asset, str(total))
        self._db.execute("INSERT OR REPLACE INTO balance VALUES (?, ?, ?)", row)

    def freeze(self, address: str, asset: str, *, frozen: bool) -> None:
        """Mark or unmark an address as frozen by a token's issuer."""
        query = "DELETE FROM frozen WHERE address = ? AND asset = ?"
        if frozen:
            query = "INSERT OR IGNORE INTO frozen VALUES (?, ?)"
        self._db.execute(query, (address, asset))

    def frozen(self, address: str | None, asset: str) -> bool:
        """Is this address frozen for this token?"""
        query = "SELECT 1 FROM frozen WHERE address = ? AND asset = ?"
        return self._one(query, address, asset) is not None

    def counted(self, name: str) -> int:
        """The value of a counter, 0 before its first `count`."""
        return self._one("SELECT value FROM counter WHERE name = ?", name) or 0

    def count(self, name: str) -> int:
        """Add one to a counter; its new value."""
        value = self.counted(name) + 1
        self._db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))
        return value

    def _one(self, query: str, *args: object) -> int | None:
        row = self._db.execute(query, args).fetchone()
        return row[0] if row else None
