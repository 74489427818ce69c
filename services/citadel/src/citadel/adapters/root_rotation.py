"""A rotation of the root, step by step: every replica may take the next one, and each is taken once.

A killed Citadel, or a killed `meshctl ca rotate`, leaves a rotation where it was; whoever is there next goes on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.adapters.audit_log import CITADEL, note
from citadel.adapters.holders import read_holders, read_leaves
from citadel.adapters.root_store import NEXT_SLOT, ROOT_SLOT, RootStore, StoredRoots
from citadel.adapters.signers import retire_signer
from citadel.adapters.tables import authority as authority_table
from citadel.adapters.tables import issuance
from citadel.adapters.tables import rotation as table
from citadel.core.rotation import Holder, Outstanding, Phase, outstanding, prospects

_log = structlog.get_logger("rotation")


class _NotYetError(Exception):
    """Undoes a last step that another replica has taken, or that is not due after all."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rotation is; without one `phase` is None."""

    phase: Phase | None
    started_at: datetime | None
    started_by: str
    without: tuple[str, ...]
    waiting_for: tuple[Outstanding, ...]


class RootRotation:
    """`run` belongs into the service's task group; `changed` is called when the roots in the database may be new."""

    def __init__(
        self,
        store: RootStore,
        ttl: timedelta,
        changed: Callable[[], Awaitable[object]],
        *,
        look_every: float = 1.0,
    ) -> None:
        self._store = store
        self._ttl = ttl
        self._changed = changed
        self._look_every = look_every

    async def run(self) -> None:
        """Take the steps that are due until cancelled."""
        while True:
            try:
                await self.step()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("rotation not looked at", error=type(error).__name__)
            await asyncio.sleep(self._look_every)

    async def begin(self, actor: str, without: Collection[str], algorithm: str | None) -> None:
        """Begin one, or go on with the one that runs without waiting for more names."""
        try:
            await self._store.begin_rotation(self._ttl, algorithm, actor, without)
            _log.info("rotation begun", by=actor)
        except MeshError as error:
            if error.code is not ErrorCode.ALREADY_EXISTS:
                raise
            await self._exclude(actor, without)
        await self._changed()

    async def abort(self, actor: str) -> None:
        """Drop the successor while nothing is signed with it; FAILED_PRECONDITION later, NOT_FOUND without one."""
        async with self._store.engine.begin() as connection:
            gone = await connection.execute(delete(table).where(table.c.phase == Phase.DISTRIBUTING.value))
            if gone.rowcount == 0:
                running = (await connection.execute(select(table.c.phase))).scalar_one_or_none()
                if running is None:
                    raise MeshError(ErrorCode.NOT_FOUND, "no rotation of the root is running")
                raise MeshError(
                    ErrorCode.FAILED_PRECONDITION, "the new root signs already: the rotation can only be completed"
                )
            await connection.execute(delete(authority_table).where(authority_table.c.slot == NEXT_SLOT))
            await note(connection, actor, "rotation given up")
        _log.info("rotation given up", by=actor)
        await self._changed()

    async def standing(self) -> Standing:
        """Where it is, and whom it waits for."""
        roots = await self._roots()
        if roots.rotation is None:
            return Standing(None, None, "", (), ())
        async with self._store.engine.connect() as connection:
            waiting = await self._waiting(connection, roots)
        running = roots.rotation
        return Standing(running.phase, running.started_at, running.started_by, running.without, waiting)

    async def prospects(self) -> tuple[Outstanding, ...]:
        """Whom a rotation that began now would wait for."""
        now = datetime.now(UTC)
        async with self._store.engine.connect() as connection:
            return prospects(await read_holders(connection), await read_leaves(connection, now), now)

    async def step(self) -> bool:
        """Take the next step if it is due; True when this replica took it."""
        roots = await self._roots()
        if roots.rotation is None:
            return False
        async with self._store.engine.connect() as connection:
            if await self._waiting(connection, roots):
                return False
        taken = await (self._sign(roots) if roots.rotation.phase is Phase.DISTRIBUTING else self._finish(roots))
        if taken:
            await self._changed()
        return taken

    async def _roots(self) -> StoredRoots:
        roots = await self._store.load()
        if roots is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no root yet")
        return roots

    async def _waiting(self, connection: AsyncConnection, roots: StoredRoots) -> tuple[Outstanding, ...]:
        assert roots.rotation is not None  # noqa: S101 - asked for by the callers
        now, phase, authority = datetime.now(UTC), roots.rotation.phase, roots.authority
        holders: Sequence[Holder] = await read_holders(connection)
        signed = [authority.key_id] if phase is Phase.SIGNING else []
        leaves = await read_leaves(connection, now, signed)
        return outstanding(phase, authority, holders, leaves, roots.rotation.without, now)

    async def _sign(self, roots: StoredRoots) -> bool:
        async with self._store.engine.begin() as connection:
            moved = await connection.execute(
                update(table)
                .where(table.c.phase == Phase.DISTRIBUTING.value)
                .values(phase=Phase.SIGNING.value, changed_at=datetime.now(UTC))
            )
            if moved.rowcount != 1:
                return False
            await note(connection, CITADEL, "rotation: the new root signs", f"key {_key(roots)}")
        _log.info("rotation: the new root signs")
        return True

    async def _finish(self, roots: StoredRoots) -> bool:
        try:
            await self._drop(roots)
        except _NotYetError:
            return False
        _log.info("rotation finished", dropped=roots.root.key_id)
        return True

    async def _drop(self, roots: StoredRoots) -> None:
        async with self._store.engine.begin() as connection:
            gone = await connection.execute(delete(table).where(table.c.phase == Phase.SIGNING.value))
            if gone.rowcount != 1:
                raise _NotYetError
            # From here on nothing that the old root signs is recorded; what was recorded before is looked at again.
            await retire_signer(connection, roots.root.key_id)
            if await self._waiting(connection, roots):
                raise _NotYetError
            await connection.execute(delete(authority_table).where(authority_table.c.slot == ROOT_SLOT))
            await connection.execute(
                update(authority_table).where(authority_table.c.slot == NEXT_SLOT).values(slot=ROOT_SLOT)
            )
            ended = update(issuance).where(issuance.c.signer == roots.root.key_id, issuance.c.ended.is_(None))
            await connection.execute(ended.values(ended="rotated"))
            await note(connection, CITADEL, "rotation finished", f"the old root is dropped: key {roots.root.key_id}")

    async def _exclude(self, actor: str, without: Collection[str]) -> None:
        async with self._store.engine.begin() as connection:
            found = (await connection.execute(select(table.c.without).with_for_update())).scalar_one_or_none()
            names = sorted({*json.loads(found or "[]"), *without})
            if found is None or not without:
                return
            await connection.execute(update(table).values(without=json.dumps(names)))
            await note(connection, actor, "rotation: not waited for", ", ".join(sorted(without)))


def _key(roots: StoredRoots) -> str:
    return "" if roots.successor is None else roots.successor.key_id
