"""A TCP relay for tests, put between a client and a server to cut them off from each other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType

from meshcore.runtime.tasks import cancel, create_task

CHUNK = 65536
BACKLOG = 100


class Relay:
    """Listens on `address`:`port` and passes every connection on to `target`. `cut()` resets them all, in the middle
    of whatever they carry, and lets nobody in until `mend()`.

    Accepts by itself: what `asyncio.Server` accepts while it is closed stays open, with nobody behind it.
    """

    def __init__(self, address: str, port: int, target: tuple[str, int]) -> None:
        self.address, self.port = address, port
        self._target = target
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.cut()
        await cancel(*self._serving)

    def cut(self) -> None:
        """Reset every connection; new ones are refused."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._serving:
            task.cancel()

    def mend(self) -> None:
        """Let connections through again."""
        self._listener = socket.create_server((self.address, self.port), backlog=BACKLOG)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it went away before its turn
        client.setblocking(False)
        task = create_task(self._serve(client), name="relay")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: client.close())  # also when it was cancelled before its first step

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as ends, contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(sock=client)
            ends.callback(writer.transport.abort)
            onwards, beyond = await asyncio.open_connection(*self._target)
            ends.callback(beyond.transport.abort)
            await asyncio.gather(_pass_on(reader, beyond), _pass_on(onwards, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; its end is the end of both."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
