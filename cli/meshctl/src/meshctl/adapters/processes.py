"""Processes of a stack: started in a session of their own, recorded, adopted and ended.

A pid file names a process by pid *and* start time, so a pid that the kernel has given to somebody else is never taken
for ours.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from meshctl.core.layout import Layout
from meshctl.core.plan import ProcessSpec

DOWN_GRACE = timedelta(seconds=2)
"""What each process may take when the whole stack goes: there is nobody left to drain for."""


@dataclass(frozen=True, slots=True)
class PidRecord:
    """One pid file. `started` is the kernel's start time in clock ticks, `digest` that of the spec it was run by."""

    name: str
    role: str
    pid: int
    started: int
    digest: str
    grace: float

    def alive(self) -> bool:
        """True while this very process runs (a zombie does not)."""
        return start_ticks(self.pid) == self.started


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def write_private(path: Path, text: str) -> None:
    """Replaces a file at once by one of mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def make_key(path: Path, size: int) -> None:
    """A random key of that many bytes as hexadecimal text, mode 0400, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(size))


def read_record(path: Path) -> PidRecord | None:
    """The record of a pid file, or None when there is none that can be read."""
    try:
        return PidRecord(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def records(layout: Layout) -> Iterator[PidRecord]:
    """The pid files of a stack."""
    for path in sorted(Path(layout.pid_files).glob("*.json")):
        record = read_record(path)
        if record is not None:
            yield record


class Process:
    """One running process, our own child or adopted."""

    def __init__(self, record: PidRecord, child: subprocess.Popen[bytes] | None) -> None:
        self.record = record
        self._child = child

    async def wait(self) -> int | None:
        """Returns when the process has ended: its return code, or None for one that was adopted."""
        await wait_ended(self.record)
        return self._reap()

    def _reap(self) -> int | None:
        return None if self._child is None else self._child.wait()

    def alive(self) -> bool:
        """True while it runs."""
        return self.record.alive()

    async def stop(self, layout: Layout, grace: timedelta) -> None:
        """SIGTERM, then SIGKILL after `grace`; nothing that it started is left behind."""
        await stop_record(self.record, layout, grace)
        self._reap()


def start(spec: ProcessSpec, layout: Layout) -> Process:
    """Starts a process detached from this one; its output goes to its log file, the previous log is kept as `.1`."""
    log = Path(layout.log(spec.name))
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    environment = dict(os.environ)
    for key, value in spec.environment.items():
        environment.pop(key, None)
        if value is not None:
            environment[key] = value
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=environment,
            cwd=layout.root,
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(descriptor)
    started = start_ticks(child.pid)
    grace = spec.grace.total_seconds()
    record = PidRecord(spec.name, spec.role, child.pid, started or 0, spec.digest(), grace)
    write_private(Path(layout.pid_file(spec.name)), json.dumps(asdict(record)))
    return Process(record, child)


def adopt(spec: ProcessSpec, layout: Layout) -> Process | None:
    """The process that already runs under this spec, or None."""
    record = read_record(Path(layout.pid_file(spec.name)))
    if record is None or not record.alive() or record.digest != spec.digest():
        return None
    return Process(record, None)


async def wait_ended(record: PidRecord) -> None:
    """Returns when the process has ended, our child or not."""
    if not record.alive():
        return
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        if record.alive():
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def stop_record(record: PidRecord, layout: Layout, grace: timedelta) -> None:
    """Ends the recorded process and all that it started, and forgets its pid file."""
    family = _family(record)
    if family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                await wait_ended(record)
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    await asyncio.to_thread(psutil.wait_procs, family, 5)
    path = Path(layout.pid_file(record.name))
    if read_record(path) == record:
        path.unlink(missing_ok=True)


async def stop_all_recorded(layout: Layout) -> None:
    """Ends every process that a pid file still names and removes the sockets that it left."""
    await asyncio.gather(*(stop_record(record, layout, DOWN_GRACE) for record in records(layout)))
    root = Path(layout.root)
    for path in [*root.glob("w/*/*"), *root.glob("state/*/*"), *root.glob("*.sock")]:
        if path.is_socket():
            path.unlink(missing_ok=True)


def _family(record: PidRecord) -> list[psutil.Process]:
    """The process, its descendants and what is left of its session, held by pid and start time.

    The kernel gives a number to no new process while a session still bears it; so when the leader is gone, the members
    of that session are still ours.
    """
    leader_runs = record.alive()
    if not leader_runs and start_ticks(record.pid) is not None:
        return []  # the number is another process's now; a zombie still bears it for its session
    family: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == record.pid:
                family[process.pid] = process
    if leader_runs:
        with contextlib.suppress(psutil.Error):
            family |= {child.pid: child for child in psutil.Process(record.pid).children(recursive=True)}
    return list(family.values())


def last_lines(layout: Layout, name: str, count: int = 20) -> list[str]:
    """The end of a process's log."""
    try:
        with Path(layout.log(name)).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
