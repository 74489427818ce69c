"""Where the authority comes from: a folder that is plugged in, or the root in the database; and how it is followed.

Once an authority was plugged in, a start without its files is refused: a root of Citadel's own would cut off everybody.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.audit_log import CITADEL, note
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.plugged_in_files import PluggedInFiles
from citadel.adapters.root_store import RootStore, StoredRoots
from citadel.adapters.signers import active_signers, note_signer
from citadel.adapters.tables import setting
from citadel.core.authority import Authority
from citadel.core.root_renewal import renewal_due

LOOK_EVERY = 1.0
"""Seconds until a replica sees what another one did."""
_PLUGGED_IN = "plugged-in"
_log = structlog.get_logger("authority")


async def plugged_in_authority(engine: AsyncEngine, files: PluggedInFiles | None) -> Authority | None:
    """The plugged-in authority, noted in the database, or None when Citadel's own root is to be used."""
    found = None if files is None else files.load()
    async with engine.connect() as connection:
        query = select(setting.c.value).where(setting.c.name == _PLUGGED_IN)
        before = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        if before is not None:
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION,
                f"the authority with key {before} was plugged in, and now there are no files of one: "
                "no root is made in its place",
            )
        return None
    await adopt(engine, found)
    return found


async def adopt(engine: AsyncEngine, authority: Authority) -> None:
    """Note a plugged-in authority before anything is signed with it."""
    async with engine.begin() as connection:
        former = (
            await connection.execute(select(setting.c.value).where(setting.c.name == _PLUGGED_IN))
        ).scalar_one_or_none()
        await note_signer(connection, authority.certificate)
        if former != authority.key_id:
            await connection.execute(delete(setting).where(setting.c.name == _PLUGGED_IN))
            await connection.execute(insert(setting), {"name": _PLUGGED_IN, "value": authority.key_id})
            await note(connection, CITADEL, "authority plugged in", f"key {authority.key_id}")


async def follow_files(files: PluggedInFiles, engine: AsyncEngine, in_force: AuthorityInForce) -> None:
    """Take each good change of the folder into use; never returns."""

    async def take(authority: Authority) -> None:
        await adopt(engine, authority)
        in_force.replace(authority, await active_signers(engine))

    await files.follow(lambda: in_force.current, take)


class RootFollower:
    """Citadel's own root: renewed in time, and taken over when another replica renewed or rotated it."""

    def __init__(self, store: RootStore, in_force: AuthorityInForce, ttl: timedelta, percentile: int) -> None:
        self._store = store
        self._in_force = in_force
        self._ttl = ttl
        self._percentile = percentile

    async def refresh(self) -> StoredRoots | None:
        """Use what the database has now."""
        roots = await self._store.load()
        if roots is not None and roots.authority.roots != self._in_force.current.roots:
            self._in_force.replace(roots.authority, await active_signers(self._store.engine))
            _log.info("authority in use", key_id=roots.authority.key_id, roots=len(roots.authority.roots))
        return roots

    async def run(self) -> None:
        """Look every second; never returns."""
        while True:
            try:
                await self.refresh()
            except (SQLAlchemyError, OSError, MeshError) as error:
                _log.warning("authority not looked at, the present one signs on", error=str(error)[:200])
            await asyncio.sleep(LOOK_EVERY)

    async def renew_in_time(self, every: timedelta, *, jitter: bool) -> None:
        """Renew the root in the last part of its life; never returns. No interval means that nothing is checked."""
        seconds = every.total_seconds()
        if seconds <= 0:
            await asyncio.Event().wait()
        if jitter:
            await asyncio.sleep(random.uniform(0, seconds))  # noqa: S311 - replicas do not look at once
        while True:
            await self.renew_if_due()
            await asyncio.sleep(seconds)

    async def renew_if_due(self) -> bool:
        """One look; True when this replica renewed it."""
        roots = await self._store.load()
        if roots is None or not renewal_due(roots.root.certificate, datetime.now(UTC), self._percentile):
            return False
        renewed = await self._store.renew(roots, self._ttl)
        if renewed:
            _log.info("root renewed with the same key")
        await self.refresh()
        return renewed


async def keep_root_file(path: Path, in_force: AuthorityInForce, write: Callable[[Path, bytes], None]) -> None:
    """Keep the public bundle in a file that newcomers read; never returns."""
    changed = asyncio.Event()
    in_force.on_change(lambda *_: changed.set())
    while True:
        changed.clear()
        bundle = in_force.current.bundle_pem.encode()
        try:
            if not path.exists() or path.read_bytes() != bundle:
                await asyncio.to_thread(write, path, bundle)
        except OSError as error:
            _log.error("the root file is not written", path=str(path), reason=error.strerror)
        await changed.wait()
