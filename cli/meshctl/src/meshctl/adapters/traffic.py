"""Steady HTTP traffic through a sidecar's mesh HTTP proxy port, every answer noted."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DEADLINE = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `at` in loop time when it was sent, `status` 0 with the reason in `error` when none came."""

    at: float
    status: int
    body: Any
    error: str = ""

    @property
    def good(self) -> bool:
        """True for 200."""
        return self.status == 200


class MeshConnection:
    """One kept connection to a mesh HTTP proxy; opened again after any failure, and never tries a request twice."""

    def __init__(self, proxy: str) -> None:
        address = urlsplit(proxy)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET of an absolute URL."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(DEADLINE):
                status, body = await self._get(url, headers or {})
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            return Reply(began, 0, None, f"{type(error).__name__} {error}")
        except BaseException:
            self.close()
            raise
        with contextlib.suppress(ValueError):
            return Reply(began, status, json.loads(body))
        return Reply(began, status, None, body.decode("utf-8", "replace")[:200])

    async def _get(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        lines = [f"GET {url} HTTP/1.1", f"host: {urlsplit(url).netloc}", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:size]
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split(" ", 2)[1]), body

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Traffic:
    """`rate` requests a second of one URL over `connections` connections, until the task of `run` is cancelled."""

    def __init__(
        self,
        proxy: str,
        url: str,
        *,
        rate: float,
        connections: int = 8,
        headers: Mapping[str, str] | None = None,
        on_reply: Callable[[Reply], None] | None = None,
    ) -> None:
        self._connections = [MeshConnection(proxy) for _ in range(connections)]
        self._url, self._headers, self._rate, self._on_reply = url, dict(headers or {}), rate, on_reply
        self.sent = 0
        self.failures: list[Reply] = []

    async def run(self) -> None:
        """Sends until cancelled. A slow answer delays only its own connection's next request."""
        try:
            async with asyncio.TaskGroup() as group:
                for index, connection in enumerate(self._connections):
                    group.create_task(self._keep_sending(connection, index))
        finally:
            for connection in self._connections:
                connection.close()

    async def _keep_sending(self, connection: MeshConnection, index: int) -> None:
        loop = asyncio.get_running_loop()
        interval = len(self._connections) / self._rate
        due = loop.time() + interval * index / len(self._connections)
        while True:
            await asyncio.sleep(due - loop.time())
            due = max(due + interval, loop.time() - interval)
            reply = await connection.get(self._url, self._headers)
            self.sent += 1
            if not reply.good:
                self.failures.append(reply)
            if self._on_reply is not None:
                self._on_reply(reply)
