"""The sockets on which this machine finds the agent: bound here, or taken from the agent of before while it listens on.

A socket that is handed on is never closed in between, so no connection is refused while one agent follows another.
"""

import os
import socket
from collections.abc import Mapping

from meshcore.errors import ErrorCode, MeshError

_BACKLOG = 1024


class ListeningSockets:
    """By name. `inherited` are those of the agent of before."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}
        self._inherited: dict[str, int] = {}

    def inherit(self, descriptors: Mapping[str, int]) -> None:
        """Use these instead of binding."""
        self._inherited.update(descriptors)

    def claim(self, name: str, host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket that listens there, for the caller to close; FAILED_PRECONDITION when somebody else listens."""
        if (descriptor := self._inherited.pop(name, None)) is not None:
            held = socket.socket(fileno=descriptor)
        else:
            held = _bound(host, port, kind)
        held.setblocking(False)
        self._held[name] = held
        return held.dup()

    def let_go(self) -> None:
        """Close what the agent of before listened on and this one has no use for: nobody would ever answer there."""
        for descriptor in self._inherited.values():
            os.close(descriptor)
        self._inherited.clear()

    @property
    def descriptors(self) -> Mapping[str, int]:
        """What is handed on."""
        return {name: held.fileno() for name, held in self._held.items()}

    def close(self) -> None:
        """Let them go; where another agent has them, they listen on."""
        for held in self._held.values():
            held.close()
        self._held.clear()


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        if kind == socket.SOCK_STREAM:
            made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return made
