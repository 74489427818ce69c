"""Follows the files of a mounted workload certificate: a pair that fits is taken into use, anything else is waited
out with the last good one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from meshcore.runtime.file_stamp import FileStamp, file_stamp
from meshcore.tls import ServiceIdentity

from envoy_bootstrap.adapters.watched_files import LOOK_EVERY, content
from envoy_bootstrap.core.file_secrets import Contents
from envoy_bootstrap.core.mounted import MountedFiles, mounted_identity

_log = structlog.get_logger("mounted certificate")


class MountedCertificate:
    """`use` is called with each new identity and the time; `mesh_root` is the file with the mesh's own roots."""

    def __init__(
        self, files: MountedFiles, mesh_root: str, use: Callable[[ServiceIdentity, datetime], None], expected: str
    ) -> None:
        self._files = files
        self._mesh_root = mesh_root
        self._use = use
        self._expected = expected
        self._stamps: tuple[FileStamp, ...] = ()

    async def follow(self) -> None:
        """Never returns."""
        while True:
            found = await asyncio.to_thread(self._look)
            if found is not None:
                self._use(found, datetime.now(UTC))
                _log.info("certificate of files", identity=str(found.spiffe), not_after=found.not_after.isoformat())
                if str(found.spiffe) != self._expected:
                    _log.warning("the files are for another identity", expected=self._expected)
            await asyncio.sleep(LOOK_EVERY)

    def _look(self) -> ServiceIdentity | None:
        paths = (*self._files.paths, self._mesh_root)
        stamps = tuple(map(file_stamp, paths))
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        chain, key, root, mesh_root = map(content, paths)
        found = mounted_identity(Contents(chain=chain, key=key, root=root), mesh_root or b"")
        if isinstance(found, str):
            _log.warning("certificate files are not used", chain=self._files.chain, reason=found)
            return None
        return found
