"""One supervised process: started or adopted, watched, started again after a back-off."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from meshcore.errors import MeshError

from meshctl.adapters.loopback import require_free
from meshctl.adapters.processes import Process, adopt, last_lines, read_record, start, stop_record
from meshctl.adapters.readiness import is_ready
from meshctl.core.backoff import failures_after, restart_delay
from meshctl.core.failure import StackFailure
from meshctl.core.layout import Layout
from meshctl.core.plan import ProcessSpec

ENDS_BEFORE_GIVING_UP = 3
POLL = 0.05


class Unit:
    """Keeps one process running. `before_start` is awaited before each start (a sidecar gets its token there)."""

    def __init__(
        self,
        spec: ProcessSpec,
        layout: Layout,
        *,
        restart: bool,
        before_start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.spec = spec
        self._layout = layout
        self._restart = restart
        self._before_start = before_start
        self._process: Process | None = None
        self._ends_in_a_row = 0
        self._refusal = ""
        self._code: int | None = None
        self._again = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.record.pid if self._process is not None and self._process.alive() else None

    def ensure_running(self, tasks: asyncio.TaskGroup) -> None:
        """Starts keeping the process, unless that is already going on."""
        self._ends_in_a_row, self._refusal = 0, ""
        self._again = self.pid is None  # the end of the process may not have been noticed yet
        if self._task is None or self._task.done():
            self._task = tasks.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._again = False
            try:
                process = adopt(self.spec, self._layout) or await self._start()
            except (MeshError, OSError) as error:
                self._refusal, ran, self._code = str(error), timedelta(), None
            else:
                self._process, self._refusal, began = process, "", loop.time()
                self._code = await process.wait()
                ran = timedelta(seconds=loop.time() - began)
            self._ends_in_a_row = failures_after(self._ends_in_a_row, ran)
            if self._again:
                continue
            if not self._restart:
                return
            await asyncio.sleep(restart_delay(self._ends_in_a_row).total_seconds())

    async def _start(self) -> Process:
        previous = read_record(Path(self._layout.pid_file(self.spec.name)))
        if previous is not None:
            await stop_record(previous, self._layout, timedelta(seconds=previous.grace))
        require_free(self.spec.name, self.spec.listens)
        if self._before_start is not None:
            await self._before_start()
        return start(self.spec, self._layout)

    async def wait_ready(self, deadline: float) -> None:
        """Returns when the process is ready. Raises StackFailure when it keeps ending, or at `deadline` (loop time)."""
        loop = asyncio.get_running_loop()
        while self.pid is None or not await is_ready(self.spec):
            if self._refusal:
                raise StackFailure(self.spec.name, self._refusal)
            gave_up = self._task is not None and self._task.done()
            if gave_up or self._ends_in_a_row >= ENDS_BEFORE_GIVING_UP:
                raise self._failure(f"ended with code {self._code}" if self._code is not None else "ended")
            if loop.time() > deadline:
                raise self._failure("is not ready in time")
            await asyncio.sleep(POLL)

    def _failure(self, reason: str) -> StackFailure:
        return StackFailure(self.spec.name, reason, tuple(last_lines(self._layout, self.spec.name)))

    async def state(self) -> str:
        """ready, starting, restarting (dead, will be started again) or stopped."""
        if self.pid is not None:
            return "ready" if await is_ready(self.spec) else "starting"
        return "restarting" if self._task is not None and not self._task.done() else "stopped"

    def release(self) -> None:
        """Does not start the process again, whatever becomes of it."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self, grace: timedelta | None = None) -> None:
        """Ends the process for good."""
        self.release()
        if self._task is not None:
            await asyncio.wait([self._task])
        record = read_record(Path(self._layout.pid_file(self.spec.name)))
        if self._process is not None and (record is None or record == self._process.record):
            await self._process.stop(self._layout, grace or self.spec.grace)
        elif record is not None:
            await stop_record(record, self._layout, grace or self.spec.grace)
