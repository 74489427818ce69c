"""The first workers of a Pilot: forked when all is imported, and before there is a loop, a thread or a connection.

Imports are most of what a worker does until it serves, and as many processes as import side by side share the machine.
A worker that ends is followed by a process that begins anew (`pilot.adapters.workers`).
"""

import asyncio
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path


class ForkedWorker:
    """A child of this process; what the pool of workers needs of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended: asyncio.Future[int] | None = None

    async def wait(self) -> int:
        """The exit status, once it has ended; may be awaited by several."""
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            handle = os.pidfd_open(self.pid)
            loop.add_reader(handle, self._reap, loop, handle)
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        """Ask for an orderly end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Until it is reaped, nobody else has its pid.
        if self.returncode is None:
            os.kill(self.pid, number)

    def _reap(self, loop: asyncio.AbstractEventLoop, handle: int) -> None:
        loop.remove_reader(handle)
        os.close(handle)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        if self._ended is not None:
            self._ended.set_result(self.returncode)


class FirstWorkers:
    """The workers by number, and the folder of the sockets on which they are asked."""

    def __init__(self) -> None:
        # Unix socket paths are limited to 108 bytes, so they do not go below the state directory.
        self.directory = Path(tempfile.mkdtemp(prefix="pilot-"))
        self.processes: dict[int, ForkedWorker] = {}
        self._lifelines: list[int] = []
        """Held open by this process alone: a worker ends when its end of the pipe does, so it never outlives us."""

    def fork(self, number: int, workers: int) -> bool:
        """Split off one of so many workers; True in the worker, whose settings are in its environment."""
        theirs, ours = os.pipe()
        if (pid := os.fork()) == 0:
            for descriptor in (ours, *self._lifelines):
                os.close(descriptor)
            os.dup2(theirs, 0)
            os.close(theirs)
            os.environ.update(worker_environment(self.directory, number, workers))
            return True
        os.close(theirs)
        self._lifelines.append(ours)
        self.processes[number] = ForkedWorker(pid)
        return False

    def remove(self) -> None:
        """The workers have ended: nothing stays behind."""
        shutil.rmtree(self.directory, ignore_errors=True)


def fork_workers(workers: int) -> FirstWorkers | None:
    """All workers; None in each of them, which goes on as one."""
    first = FirstWorkers()
    # What is there stays shared: a collection would write to every object.
    gc.freeze()
    return None if any(first.fork(number, workers) for number in range(workers)) else first


def worker_environment(directory: Path, number: int, workers: int) -> Mapping[str, str]:
    """What tells a process that it is this worker."""
    return {
        "PILOT_WORKER": str(number),
        "PILOT_WORKERS": str(workers),
        "PILOT_CONTROL_SOCKET": str(worker_socket(directory, number)),
    }


def worker_socket(directory: Path, number: int) -> Path:
    """Where a worker is asked."""
    return directory / f"w{number}.sock"
