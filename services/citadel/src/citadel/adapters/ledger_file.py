"""The ledger's rows in SQLite: a whole transaction at once in one thread of its own.

SQLAlchemy's driver hands every statement to a thread and back, which costs more than the rows. What is written is the
same: the statements are SQLAlchemy's, compiled once.
"""

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from citadel.adapters.tables import issuance

BUSY_TIMEOUT = 10.0
_INSERT = insert(issuance).compile(dialect=sqlite.dialect(paramstyle="qmark"))
_COLUMNS: Sequence[str] = tuple(_INSERT.positiontup or ())
_ACTIVE = "SELECT key_id FROM signer WHERE retired_at IS NULL"
_END = "UPDATE issuance SET ended = ? WHERE serial = ?"


class LedgerFile:
    """One connection, used by its one thread alone; opened with the first rows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.thread = ThreadPoolExecutor(1, "ledger")

    def write(self, rows: Sequence[dict[str, Any]], followed: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Commit the rows of signers that may sign, and `(successor, former)` serials; returns those signers.

        sqlite3.Error when nothing was written.
        """
        connection = self._open()
        try:
            connection.execute("BEGIN IMMEDIATE")
            signers = frozenset(key_id for (key_id,) in connection.execute(_ACTIVE))
            connection.executemany(_INSERT.string, [_values(row) for row in rows if row["signer"] in signers])
            connection.executemany(_END, followed)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return signers

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA synchronous=FULL")
        return self._connection

    def close(self) -> None:
        """After the last rows."""
        self.thread.shutdown()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(_stored(row.get(name)) for name in _COLUMNS)


def _stored(value: Any) -> Any:
    """As SQLAlchemy stores it: times without their zone, which is UTC."""
    return (
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        if isinstance(value, datetime)
        else value
    )
