"""Loopback addresses of a stack: held by one supervisor at a time, and free of foreign listeners."""

import errno
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil
from meshcore.errors import ErrorCode, MeshError

from meshctl.core.topology import MAX_STACK

HANDED_LOCK = "MESHCORE_STACK_LOCK"
"""Environment variable: the descriptor of a lock that whoever started this process handed over to it."""


class StackLock:
    """A stack number, held until `release()` or the end of this process. All users of a machine share its loopback.

    A process that gets the descriptor holds it too: the number is free again when the last of them is done.
    """

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self._descriptor: int | None = descriptor

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process must be given (`pass_fds`) to hold the number as well; nothing after `release`."""
        return () if self._descriptor is None else (self._descriptor,)

    @property
    def environment(self) -> dict[str, str]:
        """What tells such a process so."""
        return {} if self._descriptor is None else {HANDED_LOCK: str(self._descriptor)}

    def release(self) -> None:
        """Gives the number back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_stack(number: int) -> StackLock | None:
    """The lock of one stack number, handed over or taken; None when another supervisor holds it."""
    path = _lock_directory() / f"stack-{number}"
    handed = _handed(path)
    if handed is not None:
        return StackLock(number, handed)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            return lock_stack(number)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return StackLock(number, descriptor)


def handed_locks() -> tuple[int, ...]:
    """The descriptor that was handed to this process, to hand it on; none if there is no such thing."""
    text = os.environ.get(HANDED_LOCK, "")
    if not text.isascii() or not text.isdecimal():
        return ()
    try:
        os.fstat(int(text))
    except (OSError, OverflowError):
        return ()
    return (int(text),)


def _handed(path: Path) -> int | None:
    """A copy of the descriptor that was handed over, if it is the lock of that file and nobody else holds it."""
    for descriptor in handed_locks():
        try:
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return os.dup(descriptor)
        except OSError:
            continue
    return None


def lock_free_stack(first: int = 2) -> StackLock:
    """The first stack number from `first` that nobody holds and on which nothing listens."""
    for number in range(first, MAX_STACK + 1):
        lock = lock_stack(number)
        if lock is None:
            continue
        if not _listeners(f"127.{number}."):
            return lock
        lock.release()
    raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"all stacks from {first} to {MAX_STACK} are in use")


def _lock_directory() -> Path:
    directory = Path(tempfile.gettempdir()) / "meshcore-stacks"
    try:
        directory.mkdir()
        directory.chmod(0o1777)
    except FileExistsError:
        if not stat.S_ISDIR(directory.lstat().st_mode):
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{directory} is not a directory") from None
    return directory


def require_free(name: str, addresses: Iterable[tuple[str, int]]) -> None:
    """Raises MeshError(FAILED_PRECONDITION) naming the first address of `name` that a process already listens on."""
    for host, port in addresses:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                detail = f"{name} cannot start: {host}:{port} is in use by {_owner(host, port)}"
                raise MeshError(ErrorCode.FAILED_PRECONDITION, detail) from None


def _owner(host: str, port: int) -> str:
    for listener in _listeners():
        if listener.port == port and listener.host in (host, "0.0.0.0", "::") and listener.pid:
            try:
                return f"process {listener.pid} ({psutil.Process(listener.pid).name()})"
            except psutil.Error:
                return f"process {listener.pid}"
    return "another process"


class _Listener(NamedTuple):
    host: str
    port: int
    pid: int | None


def _listeners(prefix: str = "") -> list[_Listener]:
    """Who listens on an address that begins with `prefix`; empty where the system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp4")
    except psutil.AccessDenied:
        return []
    found = [
        _Listener(connection.laddr.ip, connection.laddr.port, connection.pid)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]
    return [listener for listener in found if listener.host.startswith(prefix)]
