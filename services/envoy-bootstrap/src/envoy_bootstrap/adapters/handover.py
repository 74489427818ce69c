"""One agent follows another in the same workload, without a failed request: what the old one gives the new one.

The new agent asks at `handover.sock` and is given what only the old one has: the sockets that it listens on, the
certificate, the last good configuration, the names. Then it starts an Envoy of its own beside the old one. When that
is ready it says so, and the old agent drains its Envoy and ends; when it goes away without a word, the old one serves
on.
"""

import asyncio
import json
import socket
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.local_discovery import place_of

_log = structlog.get_logger("handover")
HANDOVER_SOCKET = "handover.sock"
_TAKE, _DONE = b"take\n", b"done\n"
_READY_WITHIN = 90.0
"""Seconds that a new agent has until its Envoy is ready; the old one waits no longer for its word."""
_ANSWER_WITHIN = 10.0
_MOST_SOCKETS = 16
_BYTES = ("identity", "snapshot", "names")


@dataclass(frozen=True, slots=True)
class Handover:
    """`epoch` is that of the Envoy that runs; bytes are empty for what there is not. Contains the private key."""

    epoch: int
    healthy: bool
    identity: bytes = field(default=b"", repr=False)
    snapshot: bytes = field(default=b"", repr=False)
    names: bytes = field(default=b"", repr=False)
    sockets: Mapping[str, int] = field(default_factory=dict)
    """Open descriptors by name."""


class Predecessor:
    """The old agent, as the new one sees it."""

    def __init__(self, connection: socket.socket, given: Handover) -> None:
        self._connection = connection
        self.given = given

    async def done(self) -> None:
        """Tell it to go."""
        await asyncio.get_running_loop().sock_sendall(self._connection, _DONE)
        self._connection.close()


async def take_over(directory: Path) -> Predecessor | None:
    """Ask the agent that runs in this directory; None when none does. UNAVAILABLE for one that answers nonsense."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_WITHIN)
    try:
        await asyncio.to_thread(connection.connect, str(directory / HANDOVER_SOCKET))
    except OSError:
        connection.close()
        return None
    try:
        given = await asyncio.to_thread(_receive, connection)
    except (OSError, ValueError, KeyError, TypeError) as error:
        connection.close()
        raise MeshError(ErrorCode.UNAVAILABLE, f"the agent of before hands nothing over: {error}") from None
    connection.setblocking(False)
    return Predecessor(connection, given)


class HandoverServer:
    """The old agent's side. `prepare` gives what there is; then either `done` or `kept` is called."""

    def __init__(
        self,
        directory: Path,
        prepare: Callable[[], Handover],
        done: Callable[[], Awaitable[None]],
        kept: Callable[[], Awaitable[None]],
    ) -> None:
        self._path = directory / HANDOVER_SOCKET
        self._prepare, self._done, self._kept = prepare, done, kept
        self._made: tuple[int, int] | None = None
        self._listener: socket.socket | None = None

    async def run(self) -> None:
        """Listen until cancelled; one at a time."""
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.unlink(missing_ok=True)
        listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._made = place_of(self._path)
        listener.listen(4)
        listener.setblocking(False)
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            with connection:
                await self._serve(connection)

    async def stop(self) -> None:
        """Remove the socket, if it is still this agent's."""
        if self._listener is not None:
            self._listener.close()
        if self._made is not None and place_of(self._path) == self._made:
            self._path.unlink(missing_ok=True)

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                if await loop.sock_recv(connection, len(_TAKE)) != _TAKE:
                    return
        except (OSError, TimeoutError):
            return
        _log.info("another agent takes over")
        said = b""
        try:
            given = self._prepare()
            connection.settimeout(_ANSWER_WITHIN)
            await asyncio.to_thread(_send, connection, given)
            connection.setblocking(False)
            async with asyncio.timeout(_READY_WITHIN):
                said = await loop.sock_recv(connection, len(_DONE))
        except (OSError, TimeoutError) as error:
            _log.warning("the other agent does not go on", reason=str(error) or type(error).__name__)
        if said == _DONE:
            await self._done()
        else:
            _log.warning("the other agent has given up, this one serves on")
            await self._kept()


def _send(connection: socket.socket, given: Handover) -> None:
    parts = {name: b64encode(getattr(given, name)).decode() for name in _BYTES}
    document = {"epoch": given.epoch, "healthy": given.healthy, "sockets": [*given.sockets], **parts}
    body = json.dumps(document).encode()
    socket.send_fds(connection, [len(body).to_bytes(4, "big")], [*given.sockets.values()])
    connection.sendall(body)


def _receive(connection: socket.socket) -> Handover:
    connection.sendall(_TAKE)
    head, descriptors, _, _ = socket.recv_fds(connection, 4, _MOST_SOCKETS)
    size, body = int.from_bytes(head, "big"), bytearray()
    while len(body) < size:
        part = connection.recv(min(1 << 20, size - len(body)))
        if not part:
            raise ValueError("it stopped in the middle")
        body += part
    document = json.loads(body)
    parts = {name: b64decode(document[name]) for name in _BYTES}
    sockets = dict(zip(document["sockets"], descriptors, strict=True))
    return Handover(int(document["epoch"]), bool(document["healthy"]), **parts, sockets=sockets)
