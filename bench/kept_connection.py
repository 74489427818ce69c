"""One client connection, kept open: HTTP/1.1 over TLS in as few steps as it takes, so that a measurement on few
processors measures the server. It understands answers with a Content-Length, as a config API gives to a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class KeptConnection:
    """Requests one after the other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, headers: Mapping[str, str]
    ) -> None:
        self._reader = reader
        self._writer = writer
        lines = {"Host": host, "Accept": "application/json", "Content-Type": "application/json", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a body and wait for the whole answer; EOFError when the server hangs up before its end."""
        head = f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        length = next(int(field[15:]) for field in fields if field[:15].lower() == b"content-length:")
        return Answer(int(status.split()[1]), await self._reader.readexactly(length))


@contextlib.asynccontextmanager
async def kept_connection(url: str, tls: ssl.SSLContext, headers: Mapping[str, str]) -> AsyncIterator[KeptConnection]:
    """Connected for as long as the block lasts."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=tls)
    try:
        yield KeptConnection(reader, writer, parts.netloc, headers)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
