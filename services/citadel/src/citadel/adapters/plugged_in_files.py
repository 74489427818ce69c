"""The folder of a plugged-in authority: read at start, and again whenever its files change.

What is refused at a start ends it. What is refused later is told (log, metric, `meshctl ca status`) and changes
nothing: the last good one signs on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog
from meshcore.errors import MeshError
from meshcore.runtime.file_stamp import FileStamp, file_stamp

from citadel.adapters import telemetry
from citadel.core.authority import Authority
from citadel.core.chain import refused
from citadel.core.plugged_in import EVERY_FILE, check_replacement, is_plugged_in, read_authority

LOOK_EVERY = 0.5
DEBOUNCE = 0.1
LARGEST_FILE = 1 << 20
"""Seconds between looks, seconds of quiet before changed files are read, bytes of a file."""
_log = structlog.get_logger("plugged-in-ca")


class PluggedInFiles:
    """`adopt` is given each new authority that may take the former one's place."""

    def __init__(self, folder: Path, *, roots_may_change: bool) -> None:
        self._folder = folder
        self._roots_may_change = roots_may_change
        self._stamp: tuple[FileStamp, ...] = ()
        self.refusal = ""
        """Why the present files are not in use; empty when they are."""

    def load(self) -> Authority | None:
        """The authority of the folder, None when there is nothing of one; FAILED_PRECONDITION when it is refused."""
        self._stamp = self._look()
        files = self._read()
        return read_authority(files, datetime.now(UTC)) if is_plugged_in(files) else None

    async def follow(self, current: Callable[[], Authority], adopt: Callable[[Authority], Awaitable[None]]) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            stamp = await asyncio.to_thread(self._look)
            if stamp == self._stamp:
                continue
            await asyncio.sleep(DEBOUNCE)
            if await asyncio.to_thread(self._look) != stamp:
                continue  # still being written
            self._stamp = stamp
            try:
                files = await asyncio.to_thread(self._read)
                if not is_plugged_in(files):
                    raise refused(str(self._folder), "the files of the authority are gone")
                found = read_authority(files, datetime.now(UTC))
                check_replacement(current().roots, found.roots, self._roots_may_change)
            except MeshError as error:
                self.refusal = error.detail
                telemetry.PLUGGED_IN_REFUSED.inc()
                _log.error("plugged-in authority refused, the last good one signs on", reason=error.detail)
                continue
            self.refusal = ""
            lost = len(set(current().roots) - set(found.roots))
            if lost:
                _log.warning("roots are dropped: leaves that lead to them are believed no more", roots=lost)
            await adopt(found)
            _log.info("plugged-in authority in use", key_id=found.key_id, roots=len(found.roots))

    def _look(self) -> tuple[FileStamp, ...]:
        return tuple(file_stamp(self._folder / name) for name in EVERY_FILE)

    def _read(self) -> Mapping[str, bytes]:
        found = {}
        for name in EVERY_FILE:
            try:
                with open(self._folder / name, "rb") as file:
                    data = file.read(LARGEST_FILE + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refused(name, f"cannot be read: {error.strerror}") from None
            if len(data) > LARGEST_FILE:
                raise refused(name, f"is larger than {LARGEST_FILE} bytes")
            found[name] = data
        return found
