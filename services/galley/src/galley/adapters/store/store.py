"""Galley's store: the truth of the mesh's config, in SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime.tasks import cancel, create_task
from sqlalchemy.exc import SQLAlchemyError

from galley.adapters.store import lease, outbox, reads
from galley.adapters.store.audit import AuditEntry, read_audit
from galley.adapters.store.compaction import compact
from galley.adapters.store.database import Database, T, Work
from galley.adapters.store.engine import open_database
from galley.adapters.store.pending import Commit, Pending
from galley.adapters.store.rows import reveal
from galley.adapters.store.transaction import Request
from galley.adapters.store.watch import ChangeFeed
from galley.adapters.store.writer import Writer
from galley.core.confidential import is_confidential
from galley.core.publishing import Unpublished
from galley.core.retention import Floors, Retention
from galley.core.sealing import Vault
from galley.core.storage import ChangeSet, HistoryEntry, Page, StoredObject, Verb, WriteOp, WriteResult

POLL_REPLICAS = 0.5
COMPACT_EVERY = 600.0
"""Seconds: how soon another replica's commit is seen by watchers here, and how often old revisions are dropped."""

_log = structlog.get_logger("store")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """Objects, history, change sets, outbox, audit and leases behind one door.

    Invariants, each proved in `tests/adapters/store`:
    1. A change set is one revision, all or nothing; the order of commits is the order of revisions.
    2. A write is acknowledged after its commit, and then survives kill -9.
    3. Two writers with the same resourceVersion: one wins, the other gets CONFLICT.
    4. A subscriber sees every revision once, in order, or GONE.
    5. Whatever consumers must hear of is in the outbox in the same transaction.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], retention: Retention, vault: Vault | None
    ) -> None:
        self._vault = vault
        self._database = database
        self._clock = clock
        self._retention = retention
        self._closed = False
        self._feed = ChangeFeed(database)
        self._pending = Pending()
        self._writer = Writer(database, clock, self._announce, vault)
        self._maintenance = create_task(self._maintain(), name="store-maintenance")

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Callable[[], datetime] = _utc_now,
        retention: Retention | None = None,
        vault: Vault | None = None,
    ) -> Store:
        """Open and migrate. `url` is SQLAlchemy's: `sqlite:////path/galley.db`,
        `postgresql://...`. Without a vault no confidential object is taken."""
        store = cls(await open_database(url), clock, retention or Retention(), vault)
        await store._feed.poll()
        return store

    async def close(self) -> None:
        """Finish the running commit, end watches, close the database; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await cancel(self._maintenance)
        await self._writer.close()
        self._feed.close()
        await self._database.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- writes

    async def write(self, operations: Sequence[WriteOp], author: str, traceparent: str = "") -> WriteResult:
        """Commit a change set as one revision. MeshError NOT_FOUND, ALREADY_EXISTS, CONFLICT, INVALID or TOO_LARGE of
        the first operation that cannot be done (then nothing is done), UNAVAILABLE when SQL fails.

        A change set that changes nothing makes no revision and answers the present one.
        """
        if not operations:
            raise MeshError(ErrorCode.INVALID, "a change set needs at least one operation")
        result = await self._writer.write(Request(tuple(operations), author, traceparent))
        if any(is_confidential(operation.key) and operation.verb is not Verb.CREATE for operation in operations):
            await self._database.forget_old_pages()
        return result

    async def write_status(
        self,
        key: Key,
        status: dict[str, Any] | None,
        author: str,
        *,
        resource_version: str | None = None,
        traceparent: str = "",
    ) -> StoredObject:
        """Replace an object's status: moves resourceVersion, not generation; no history, and published only as far as
        `published_status` goes."""
        operation = WriteOp(Verb.STATUS, key, status=status, resource_version=resource_version)
        return (await self.write([operation], author, traceparent)).objects[0]

    # -- reads; of confidential objects they answer the public part

    def reveal(self, stored: StoredObject) -> StoredObject:
        """An object with its content, for a caller who may see it; what is not confidential as it is."""
        return reveal(stored, self._vault)

    async def get(self, key: Key, *, as_of: int | None = None) -> StoredObject:
        """One object, now or as of a revision; NOT_FOUND, or GONE when that revision is compacted."""
        return await self._read(lambda connection: reads.read_object(connection, key, as_of))

    async def list(
        self,
        group: str,
        plural: str,
        namespace: str | None = None,
        *,
        limit: int | None = None,
        continue_: str | None = None,
        as_of: int | None = None,
    ) -> Page:
        """Objects of a kind by namespace and name; all pages are at the revision of the first, or GONE."""
        return await self._read(
            lambda connection: reads.read_page(connection, group, plural, namespace, limit, continue_, as_of)
        )

    async def published_for_hosts(
        self, group: str, plural: str, namespaces: Sequence[str], hosts: Sequence[str]
    ) -> Sequence[dict[str, Any]]:
        """What consumers get of a kind in these namespaces whose `spec.host` is one of these, or a wildcard."""
        return await self._read(
            lambda connection: reads.read_published_for_hosts(connection, group, plural, namespaces, hosts)
        )

    async def revision(self) -> int:
        """The newest revision."""
        return int((await self._read(reads.read_meta))["revision"])

    async def store_id(self) -> str:
        """The id under which these revisions count."""
        return str((await self._read(reads.read_meta))["store_id"])

    async def history(self, key: Key) -> tuple[HistoryEntry, ...]:
        """The kept revisions of an object, oldest first."""
        return await self._read(lambda connection: reads.read_history(connection, key))

    async def change_sets(self, after: int, most: int = 200) -> Sequence[ChangeSet]:
        """The kept change sets after a revision, oldest first; GONE when some are compacted."""
        return await self._read(lambda connection: reads.read_change_sets(connection, after, most))

    async def audit(self, before: int | None = None, most: int = 200) -> Sequence[AuditEntry]:
        """Writes that were tried, the newest first; `before` is the number of the last entry already seen."""
        return await self._read(lambda connection: read_audit(connection, before, most))

    def subscribe(self, from_revision: int) -> AsyncIterator[ChangeSet]:
        """Every change set after `from_revision`, in order, for ever; GONE at the first step when some are compacted
        or the revision is not of this store. Ends when the store closes."""
        return self._feed.subscribe(from_revision)

    # -- publishing

    @property
    def known(self) -> int:
        """The newest revision that this process has heard of, for `wait_beyond`."""
        return self._feed.known

    async def wait_beyond(self, revision: int) -> bool:
        """Wait until something after `revision` is committed; False when the store is closing."""
        return await self._feed.wait_beyond(revision)

    async def acquire_lease(self, name: str, holder: str, length: timedelta) -> int | None:
        """A new fencing number, or None while somebody else holds the lease."""
        alone = self._database.alone
        return await self._database.write(
            lambda connection: lease.acquire(connection, name, holder, self._clock(), length, alone=alone)
        )

    async def renew_lease(self, name: str, fencing: int, length: timedelta) -> bool:
        """Whether the lease is still this number's; if so it is longer now."""
        return await self._database.write(
            lambda connection: lease.renew(connection, name, fencing, self._clock(), length)
        )

    async def release_lease(self, name: str, fencing: int) -> None:
        """Let the next one in at once."""
        await self._database.write(lambda connection: lease.release(connection, name, fencing))

    async def unpublished(self, after: int, most: int = 64) -> Sequence[Unpublished]:
        """The published revisions after this one, oldest first, at most so many."""
        found = self._pending.after(after, self._feed.known)
        if found is not None:
            return found[:most]
        return await self._read(lambda connection: outbox.read_unpublished(connection, after, most))

    async def published_state(self) -> outbox.PublishedState:
        """Everything that consumers should have, in one snapshot."""
        return await self._read(outbox.read_published_state)

    async def forget_published(self, revision: int) -> None:
        """Drop the outbox up to a revision whose head is written."""
        self._pending.forget(revision)
        await self._database.write(lambda connection: outbox.forget_published(connection, revision))

    async def change_store_id(self) -> str:
        """Begin a new count: this database was put back to an older state than consumers have seen."""
        changed = await self._database.write(lambda connection: outbox.change_store_id(connection))
        self._pending = Pending()
        return changed

    # -- maintenance

    async def compact(self) -> Floors:
        """Drop what retention no longer asks for."""
        return await self._database.write(lambda connection: compact(connection, self._retention, self._clock()))

    def _announce(self, committed: Sequence[Commit]) -> None:
        """What this process has committed: to the publisher's run first, which whoever the feed wakes looks into."""
        self._pending.announce(committed)
        self._feed.announce([commit.change_set for commit in committed])

    async def _read(self, work: Work[T]) -> T:
        try:
            return await self._database.read(work)
        except (SQLAlchemyError, OSError) as error:
            _log.error("read failed", error=type(error).__name__)
            raise MeshError(ErrorCode.UNAVAILABLE, "the store could not be read") from error

    async def _maintain(self) -> None:
        loop = asyncio.get_running_loop()
        compacted = loop.time()
        while True:
            await asyncio.sleep(POLL_REPLICAS)
            try:
                if not self._database.alone:
                    await self._feed.poll()
                if loop.time() - compacted > COMPACT_EVERY:
                    compacted = loop.time()
                    await self.compact()
            except (SQLAlchemyError, OSError) as error:
                _log.error("store maintenance failed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - without this task watches stand still
                _log.error("store maintenance failed", error=type(error).__name__, exc_info=error)
