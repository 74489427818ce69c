"""XDS_ROOT_CA: a file of roots that Pilot may be of, beside the mesh's own: where it serves with a certificate that the
operator gives it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.pem import count_certificates
from meshcore.runtime.file_stamp import file_stamp

from envoy_bootstrap.adapters.watched_files import LOOK_EVERY, content
from envoy_bootstrap.core.file_secrets import SYSTEM_ROOTS

_SYSTEM = "SYSTEM"
_log = structlog.get_logger("pilot roots")


class PilotRoots:
    """`believe` is called with what the file holds, first and whenever it changes; SYSTEM means the system's roots."""

    def __init__(self, name: str, believe: Callable[[bytes], None]) -> None:
        system = next((path for path in SYSTEM_ROOTS if Path(path).exists()), SYSTEM_ROOTS[0])
        self._path = system if name == _SYSTEM else name
        self._believe = believe
        self._stamp = file_stamp(self._path)

    def read(self) -> None:
        """FAILED_PRECONDITION for a file that is missing or holds no roots: Pilot could never be believed."""
        found = content(self._path)
        if found is None or not count_certificates(found):
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"XDS_ROOT_CA: {self._path} holds no PEM certificates")
        self._believe(found)

    async def follow(self) -> None:
        """Never returns. What cannot be read leaves what was believed before."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await asyncio.to_thread(file_stamp, self._path)
            if now == self._stamp:
                continue
            self._stamp = now
            try:
                self.read()
                _log.info("roots of pilot replaced", path=self._path)
            except MeshError as error:
                _log.warning("roots of pilot are kept", reason=error.detail)
