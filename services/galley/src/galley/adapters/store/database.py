"""The database behind the store: whole transactions, each one function that is given a connection.

The functions are synchronous. SQLite runs them in threads of its own, so that a transaction costs the event loop one
hand-over and not one for each statement; PostgreSQL's driver belongs to the event loop, which runs them in a greenlet.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

READERS = 4

T = TypeVar("T")
Work = Callable[[Connection], T]


class Database(Protocol):
    """Writes are serialised, reads see one snapshot per transaction."""

    alone: bool
    """Whether no other process can have this database open."""

    async def write(self, work: Work[T]) -> T:
        """Run in a transaction and commit; an exception of `work` takes everything back. SQLAlchemyError, OSError."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run on one snapshot."""
        ...

    async def forget_old_pages(self) -> None:
        """See to it that what was deleted or replaced is nowhere in the files any more."""
        ...

    async def close(self) -> None:
        """Finish what runs and close every connection."""
        ...


class SqliteDatabase:
    """A file that only this process has: `lock` is the descriptor of its lock file. One thread writes, a few read."""

    alone = True

    def __init__(self, writer: Engine, reader: Engine, lock: int) -> None:
        self._writer, self._reader, self._lock = writer, reader, lock
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(READERS, "store-reader")

    async def write(self, work: Work[T]) -> T:
        """Commit in the writer's thread; whoever stops waiting does not stop the transaction."""

        def run() -> T:
            with self._writer.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writing, run)

    async def read(self, work: Work[T]) -> T:
        """Read in one of the readers' threads."""

        def run() -> T:
            with self._reader.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reading, run)

    async def forget_old_pages(self) -> None:
        """Move the write-ahead log into the file, where `secure_delete` has overwritten them."""

        def checkpoint() -> None:
            connection = self._writer.raw_connection()
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
            finally:
                connection.close()

        await asyncio.get_running_loop().run_in_executor(self._writing, checkpoint)

    async def close(self) -> None:
        """Wait for the threads, close the connections, give the file back."""

        def close() -> None:
            for threads in (self._writing, self._reading):
                threads.shutdown()
            self._writer.dispose()
            self._reader.dispose()

        await asyncio.to_thread(close)
        os.close(self._lock)


class PostgresDatabase:
    """A server that any number of Galleys use."""

    alone = False

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer, self._reader = writer, reader

    async def write(self, work: Work[T]) -> T:
        """Commit."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, work: Work[T]) -> T:
        """Read at one snapshot: the reader's isolation is REPEATABLE READ."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(work)

    async def forget_old_pages(self) -> None:
        """Nothing to do: its own vacuum does."""

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._reader.dispose()
