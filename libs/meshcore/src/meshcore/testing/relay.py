"""A TCP relay for tests, put between a client and a server to cut them off from each other."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

CHUNK = 65536


class Relay:
    """Listens on `address`:`port` and passes every connection on to `target`. `cut()` resets them all, in the middle
    of whatever they carry, and lets nobody in until `mend()`."""

    def __init__(self, address: str, port: int, target: tuple[str, int]) -> None:
        self.address, self.port = address, port
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._serving = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> Relay:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.cut()
        await self._idle.wait()

    def cut(self) -> None:
        """Reset every connection; new ones are refused."""
        self._is_cut = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False
        self._server = await asyncio.start_server(self._serve, self.address, self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._serving += 1
        self._idle.clear()
        beyond: asyncio.StreamWriter | None = None
        try:
            if self._is_cut:
                return
            with contextlib.suppress(OSError):
                onwards, beyond = await asyncio.open_connection(*self._target)
                self._writers.add(beyond)
                if not self._is_cut:
                    await asyncio.gather(_pass_on(reader, beyond), _pass_on(onwards, writer))
        finally:
            for end in (writer, beyond):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)
            self._serving -= 1
            if self._serving == 0:
                self._idle.set()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; its end is the end of both."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
