"""Opens Citadel's database, SQLite or PostgreSQL, at the newest schema.

SQLite: WAL and `synchronous=FULL`, so that a committed row survives a power failure. Alembic is imported only when the
schema is not the newest: a normal start does without.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

NEWEST = "0004"
_LOCKED_FOR = 10
"""Seconds that another process may have the file locked: a busy disk takes its time over a change of all of it."""
_PAUSE = 0.02
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x63697461  # any constant of our own: replicas that start together migrate one after the other


async def open_database(url: str) -> AsyncEngine:
    """Open and migrate. `url` is SQLAlchemy's: `sqlite+aiosqlite:////path` or `postgresql+asyncpg://...`."""
    parsed = make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite(parsed) if sqlite else create_async_engine(parsed, pool_size=4, pool_pre_ping=True)
    try:
        async with engine.begin() as connection:
            if not sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await connection.run_sync(_migrate)
    except BaseException:
        await engine.dispose()
        raise
    return engine


def _sqlite(url: URL) -> AsyncEngine:
    if not url.database:
        raise MeshError(ErrorCode.INVALID, "the database needs a file: sqlite+aiosqlite:////path/to/citadel.db")
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": _LOCKED_FOR})

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _use_wal(cursor: Any) -> None:
    """Somebody who opens the same new file at this moment makes SQLite say "locked" at once, whatever its time-out."""
    for _ in range(int(_LOCKED_FOR / _PAUSE)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            time.sleep(_PAUSE)
        else:
            return
    cursor.execute("PRAGMA journal_mode=WAL")


def _migrate(connection: Connection) -> None:
    if inspect(connection).has_table("alembic_version"):
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if version == NEWEST:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
