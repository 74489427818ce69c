"""Loopback addresses that no other test on this machine is using.

Linux routes all of 127.0.0.0/8 to loopback. A test that kills and restarts a server, or lets Envoy bind one, claims a
/24 block here and uses the server's real port on an address of its own, so parallel tests never clash and no client can
connect to itself through the ephemeral port range. Blocks are 127.64.0.0/24 to 127.127.255.0/24; stacks of `meshctl up`
live below that range.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from pathlib import Path
from types import TracebackType

_FIRST, _LAST = 64, 127
_BLOCKS = (_LAST - _FIRST + 1) * 256


class Claim:
    """One /24 block of loopback addresses, held by a file lock until `release()` or the end of this process."""

    def __init__(self, prefix: str, descriptor: int) -> None:
        self.prefix = prefix
        self._descriptor: int | None = descriptor

    def address(self, host: int = 1) -> str:
        """The address of host number 1 to 254 in this block."""
        if not 1 <= host <= 254:
            raise ValueError(f"host number {host} is not in 1..254")
        return f"{self.prefix}.{host}"

    def release(self) -> None:
        """Give the block back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def __str__(self) -> str:
        return self.address(1)


def claim() -> Claim:
    """A block that nobody else holds, from a random place of the range; RuntimeError when all are taken."""
    directory = _lock_directory()
    start = secrets.randbelow(_BLOCKS)
    for step in range(_BLOCKS):
        number = (start + step) % _BLOCKS
        prefix = f"127.{_FIRST + number // 256}.{number % 256}"
        descriptor = _try_lock(directory / prefix)
        if descriptor is not None:
            return Claim(prefix, descriptor)
    raise RuntimeError(f"every loopback block of {directory} is taken")


def _lock_directory() -> Path:
    """Shared by all users of the machine, since they share its loopback interface."""
    directory = Path(tempfile.gettempdir()) / "meshcore-test-addresses"
    try:
        directory.mkdir()
        directory.chmod(0o1777)
    except FileExistsError:
        return directory
    return directory


def _try_lock(path: Path) -> int | None:
    """The locked descriptor, or None when somebody holds it. Read-only, so that another user's file can be locked
    too."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
