"""Keeps one Envoy running: start, restart after a crash, replacement without a failed request, orderly end.

Every start is an *epoch* with a bootstrap file and an admin socket of its own; `admin.sock` leads to the current one.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog
from meshcore import metrics
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks
from meshcore.tls import write_private

from envoy_bootstrap.adapters.bootstrap_source import ADMIN_SOCKET
from envoy_bootstrap.adapters.envoy_process import EnvoyProcess, validate
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.back_off import CRASH_BACK_OFF
from envoy_bootstrap.core.readiness import EnvoyReadiness

_log = structlog.get_logger("envoy")
_STEADY_AFTER = 30.0
_READY_WITHIN = 30.0
_CLOSED_AFTER = timedelta(seconds=0.5)
_CONNECTIONS_END_WITHIN = timedelta(seconds=10)
_EXITS = metrics.counter("istio_agent_envoy_unexpected_exits_total", "Envoys that ended without being asked to.")


def outlasting(drain: timedelta) -> tuple[timedelta, timedelta]:
    """How long an Envoy is drained beside which another one serves: the least and the most.

    At least until its listeners are closed, since it is given connections until then; then until nobody is connected.
    """
    return drain + _CLOSED_AFTER, drain + _CONNECTIONS_END_WITHIN


class Supervisor:
    """Owns the Envoy of this workload.

    `render` makes the bootstrap text for an admin socket, `arguments` the command line for a bootstrap file, which has
    Envoy merge `override` into it.
    """

    def __init__(
        self,
        envoy: str,
        directory: Path,
        render: Callable[[UnixSocket], str],
        arguments: Callable[[str], list[str]],
        override: Callable[[], str] = lambda: "",
    ) -> None:
        self._envoy = envoy
        self._directory = directory
        self._render = render
        self._arguments = arguments
        self._override = override
        self.epoch = 0
        self._alone = True
        self._current: EnvoyProcess | None = None
        self._replacing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._outlived: EnvoyProcess | None = None
        """The Envoy that was still drained beside its successor when the end came."""
        self.crashed = asyncio.Event()
        """Set when Envoy ends by itself; whoever waits for it clears it."""

    @property
    def envoy(self) -> EnvoyProcess | None:
        """The Envoy that serves now; None between a crash and the next start."""
        return self._current

    def follow(self, epoch: int) -> None:
        """Count on from the epoch of another supervisor, whose Envoy still runs and whose files stay."""
        self.epoch = epoch
        self.shares()

    def shares(self) -> None:
        """Remove nothing but what belongs to this supervisor's own Envoys."""
        self._alone = False

    def owns_all(self) -> None:
        """The other supervisor has gone."""
        self._alone = True

    async def readiness(self) -> EnvoyReadiness:
        """Of the current Envoy."""
        envoy = self._current
        return EnvoyReadiness(False, "Envoy is not running") if envoy is None else await envoy.readiness()

    async def run(self) -> None:
        """Start Envoy and start it again whenever it ends by itself, until `stop`."""
        if self._alone:
            self._remove_left_behind()
        attempt = 0
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            started = loop.time()
            async with self._replacing:
                # a replacement may have had the lock: its Envoy is there now, or the end has come
                if self._ending.is_set():
                    return
                if self._current is None:
                    self._current = await self._start()
                envoy = self._current
            status = await envoy.wait()
            if self._ending.is_set():
                return
            if envoy is not self._current:
                continue  # replaced on purpose; the new one is watched now
            self._current = None
            self.crashed.set()
            self._forget(envoy.epoch)
            _EXITS.inc()
            attempt = 0 if loop.time() - started > _STEADY_AFTER else attempt + 1
            delay = CRASH_BACK_OFF.delay(max(0, attempt - 1), random.random())  # noqa: S311 - spreads restarts
            _log.error(
                "envoy ended unexpectedly", epoch=envoy.epoch, reason=_reason(status), restart_in=round(delay, 2)
            )
            await asyncio.sleep(delay)

    async def replace(self, drain: timedelta) -> None:
        """Start another Envoy beside the running one, then drain and end the old one: no request fails.

        Both listen on the same addresses (SO_REUSEPORT). When the new one is not ready in time it is ended and the old
        one was never touched: UNAVAILABLE. An end that comes meanwhile does not wait for the drain.
        """
        async with self._replacing:
            if self._ending.is_set():
                raise MeshError(ErrorCode.UNAVAILABLE, "the proxy is ending")
            old = self._current
            new = await self._start()
            try:
                async with asyncio.timeout(_READY_WITHIN):
                    await new.wait_ready()
            except (TimeoutError, MeshError) as error:
                await new.quit()
                self._forget(new.epoch)
                self._point_admin_at(old)
                raise MeshError(ErrorCode.UNAVAILABLE, "the new Envoy was not ready; the old one serves on") from error
            self._current = new
            if old is not None:
                shortest, longest = outlasting(drain)
                drain_old = old.drain(longest.total_seconds(), shortest=shortest.total_seconds())
                async with (
                    tasks.background(drain_old, name="envoy drain") as drained,
                    tasks.background(self._ending.wait(), name="envoy end") as ending,
                ):
                    await asyncio.wait({drained, ending}, return_when=asyncio.FIRST_COMPLETED)
                    if not drained.done():
                        self._outlived = old
                        return
                await old.quit()
                self._forget(old.epoch)

    async def stop(
        self, drain: timedelta, minimum: timedelta, *, callers_know: bool = False, inbound_only: bool = False
    ) -> None:
        """Drain and end Envoy; leaves no process and no file of it.

        `callers_know` says that no caller will choose this workload any more: then idle connections are not waited for.
        """
        self._ending.set()
        async with self._replacing:
            envoy, self._current = self._current, None
            if envoy is not None:
                if drain and (await envoy.readiness()).ready:
                    shortest = min(drain, minimum).total_seconds()
                    await envoy.drain(
                        drain.total_seconds(), shortest=shortest, callers_know=callers_know, inbound_only=inbound_only
                    )
                await envoy.quit()
                self._forget(envoy.epoch)
            if self._outlived is not None:
                await self._outlived.quit()
                self._forget(self._outlived.epoch)
        if self._alone:
            self._remove_left_behind()

    async def _start(self) -> EnvoyProcess:
        self.epoch += 1
        socket = self._directory / f"admin-{self.epoch}.sock"
        bootstrap = self._directory / f"envoy-rev{self.epoch}.json"
        text = self._render(UnixSocket(str(socket), mode=0o600))
        await asyncio.to_thread(write_private, bootstrap, text.encode())
        try:
            await validate(self._envoy, bootstrap, self._override())
        except MeshError:
            self._forget(self.epoch)
            raise
        envoy = await EnvoyProcess.start(self._envoy, self._arguments(str(bootstrap)), socket, self.epoch)
        self._point_admin_at(envoy)
        return envoy

    def _point_admin_at(self, envoy: EnvoyProcess | None) -> None:
        link = self._directory / ADMIN_SOCKET
        link.unlink(missing_ok=True)
        if envoy is not None:
            link.symlink_to(Path(envoy.admin.socket).name)

    def _forget(self, epoch: int) -> None:
        for name in (f"admin-{epoch}.sock", f"envoy-rev{epoch}.json"):
            (self._directory / name).unlink(missing_ok=True)

    def _remove_left_behind(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._directory / ADMIN_SOCKET).unlink(missing_ok=True)
            for pattern in ("admin-*.sock", "envoy-rev*.json"):
                for path in self._directory.glob(pattern):
                    path.unlink(missing_ok=True)


def _reason(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, perhaps out of memory"
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
