"""Opens the database: one writing connection, a few reading ones, migrated to the newest schema.

SQLite: WAL, `synchronous=FULL`, one process per file (a lock file says so). PostgreSQL: any number of Galleys.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from meshcore.distribution.digest import EMPTY_DIGEST
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import Connection, create_engine, event, insert, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from galley.adapters.store import tables
from galley.adapters.store.database import READERS, Database, PostgresDatabase, SqliteDatabase

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6D657368  # any constant: two Galleys that start together migrate one after the other
LONGEST_PAUSE = 10.0
"""Seconds that a writing transaction may do nothing before PostgreSQL ends it: every other replica waits for it."""


async def open_database(url: str) -> Database:
    """Open, migrate, and read or make the store's id. `url` is SQLAlchemy's, its driver is ours to choose:
    `sqlite:////path` or `postgresql://...`. FAILED_PRECONDITION when another process has the SQLite file."""
    parsed = make_url(url)
    database = (_sqlite if parsed.get_backend_name() == "sqlite" else _postgresql)(parsed)
    try:
        await database.write(_prepare)
    except BaseException:
        await database.close()
        raise
    return database


def _sqlite(url: URL) -> Database:
    url = url.set(drivername="sqlite+pysqlite")
    lock = _lock_file(url)
    threads = {"timeout": 10, "check_same_thread": False}
    writer = create_engine(url, pool_size=1, max_overflow=0, connect_args=threads)
    reader = create_engine(url, pool_size=READERS, max_overflow=0, connect_args=threads)
    for engine in (writer, reader):
        event.listen(engine, "connect", _prepare_connection)
    return SqliteDatabase(writer, reader, lock)


def _postgresql(url: URL) -> Database:
    url = url.set(drivername="postgresql+asyncpg")
    # A Galley that is stopped, or whose machine is gone, in the middle of a write holds the lock of all writers.
    limits = {"idle_in_transaction_session_timeout": str(int(LONGEST_PAUSE * 1000))}
    writer = create_async_engine(
        url, pool_size=2, max_overflow=0, pool_pre_ping=True, connect_args={"server_settings": limits}
    )
    reader = create_async_engine(
        url, pool_size=READERS, max_overflow=2, pool_pre_ping=True, isolation_level="REPEATABLE READ"
    )
    return PostgresDatabase(writer, reader)


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    _migrate(connection)
    _ensure_meta(connection)


def _prepare_connection(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions too late and of the wrong sort
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")  # the key of a deleted Secret must not stay in a free page
    cursor.close()


def _lock_file(url: URL) -> int:
    if not url.database:
        raise MeshError(ErrorCode.INVALID, "the store needs a file: sqlite:////path/to/galley.db")
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"another process has the store {path}") from None
    return descriptor


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _ensure_meta(connection: Connection) -> None:
    """A new database gets its id here; consumers re-list when it is another one than they knew."""
    if connection.scalar(select(tables.meta.c.id)) is None:
        first = {"id": 1, "revision": 0, "config_revision": 0, "watch_floor": 0, "history_floor": 0}
        connection.execute(insert(tables.meta), first | {"store_id": uuid.uuid4().hex, "config_digest": EMPTY_DIGEST})
