"""The parent of `--workers N`: starts the workers, starts again those that die or hang, asks them; serves no stream
itself."""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from meshcore import metrics
from meshcore.runtime import Runtime

from pilot.adapters.answers import Gathered
from pilot.adapters.control import ask_worker
from pilot.adapters.first_workers import FirstWorkers, ForkedWorker, worker_environment, worker_socket
from pilot.core.silence import Silence
from pilot.settings import PilotSettings

_log = structlog.get_logger("workers")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_STOP_WITHIN = 8.0
_LOOK_WITHIN, _LOOK_AGAIN, _LOOK_SOON = 1.0, 1.0, 0.1
"""Seconds: for a worker to say whether it is ready; until it is asked again when it is, and when it is not."""
_RESTARTS = metrics.counter(
    "pilot_worker_restarts", "Workers that ended and were started again, by whether they were silent.", ["reason"]
)


class WorkerPool:
    """N processes that share the ADS ports. Each has a feed of its own; one that dies takes only its own streams, and
    one that is silent for too long is ended, since it keeps its streams and is given new ones."""

    def __init__(self, runtime: Runtime[PilotSettings], first: FirstWorkers) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._directory = first.directory
        self._processes: dict[int, asyncio.subprocess.Process | ForkedWorker] = dict(first.processes)
        self._stopping = False
        self._silent: set[int] = set()
        """Process ids of workers that were ended because they hung."""
        runtime.on_stop("workers", self._stop)
        for number in range(self._settings.workers):
            runtime.readiness.expect(f"worker-{number}")
            runtime.spawn(f"worker-{number}", partial(self._run, number))
            runtime.spawn(f"worker-{number} readiness", partial(self._watch_readiness, number))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the workers that run."""
        return {f"w{number}": process.pid for number, process in sorted(self._processes.items())}

    async def ask(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        """Every worker's answer; one that is being restarted is named as missing."""
        numbers = range(self._settings.workers)
        parts = await asyncio.gather(*(self._ask(number, what, parameters, seconds) for number in numbers))
        answers = {self._name(number): part[0] for number, part in zip(numbers, parts, strict=True) if part is not None}
        return Gathered(answers, tuple(self._name(number) for number in numbers if self._name(number) not in answers))

    async def _ask(self, number: int, what: str, parameters: Mapping[str, Any], seconds: float) -> tuple[Any] | None:
        try:
            async with asyncio.timeout(seconds + self._settings.query_deadline.total_seconds()):
                return (await ask_worker(worker_socket(self._directory, number), what, parameters, seconds),)
        except (OSError, TimeoutError) as error:
            _log.info("worker did not answer", worker=number, question=what, error=type(error).__name__)
            return None

    async def _run(self, number: int) -> None:
        """One worker, again and again."""
        pause = _FIRST_PAUSE
        while not self._stopping:
            started = asyncio.get_running_loop().time()
            process = self._processes.get(number)
            if process is None:
                process = self._processes[number] = await self._start(number)
            code = await process.wait()
            self._processes.pop(number, None)
            self._runtime.readiness.set(f"worker-{number}", False, f"ended with {code}")
            if self._stopping:
                return
            reason = "silent" if process.pid in self._silent else "ended"
            self._silent.discard(process.pid)
            _RESTARTS.labels(reason).inc()
            _log.error("worker ended, restarting", worker=number, code=code, reason=reason)
            settled = asyncio.get_running_loop().time() - started > _LONGEST_PAUSE
            pause = _FIRST_PAUSE if settled else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads restarts

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        """A worker that follows one that has ended. By then there are threads and connections, so it is not forked."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pilot",
            # The worker ends when its end of this pipe does, so it never outlives its parent.
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **worker_environment(self._directory, number, self._settings.workers)},
        )

    async def _watch_readiness(self, number: int) -> None:
        loop, pause = asyncio.get_running_loop(), 0.0
        longest = self._settings.worker_silence.total_seconds()
        watched, silence = None, Silence(longest, loop.time())
        while True:
            process = self._processes.get(number)
            if process is not watched:
                watched, silence = process, Silence(longest, loop.time())
            ready = False
            if process is not None:
                try:
                    async with asyncio.timeout(_LOOK_WITHIN):
                        ready = bool(await ask_worker(worker_socket(self._directory, number), "ready", {}, 0))
                    silence.answered(loop.time())
                except (OSError, TimeoutError):
                    if silence.missed(loop.time(), pause + _LOOK_WITHIN) and process is self._processes.get(number):
                        self._end_silent(number, process, silence.seconds)
                        silence = Silence(longest, loop.time())
            if number in self._processes or ready:
                what = "starting" if not silence.seconds else f"silent for {silence.seconds:.0f} s"
                self._runtime.readiness.set(f"worker-{number}", ready, "" if ready else what)
            pause = _LOOK_AGAIN if ready else _LOOK_SOON
            await asyncio.sleep(pause)

    def _end_silent(self, number: int, process: "asyncio.subprocess.Process | ForkedWorker", seconds: float) -> None:
        """It can do nothing in order any more; `_run` starts another."""
        _log.error("worker is silent, ending it", worker=number, pid=process.pid, seconds=round(seconds, 1))
        self._silent.add(process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _stop(self) -> None:
        self._stopping = True
        processes = list(self._processes.values())
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                await asyncio.gather(*(process.wait() for process in processes))
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _name(self, number: int) -> str:
        return f"{self._settings.instance}/w{number}"


async def end_with_parent(runtime: Runtime[PilotSettings]) -> None:
    """In a worker: stop when the pipe from the parent is closed, however the parent ended."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    try:
        await reader.read()
        runtime.stop()
        await asyncio.Event().wait()
    finally:
        transport.close()
