"""One plain HTTP GET with a bounded answer, for what an application beside the agent shows of itself."""

import asyncio
from typing import Any

import h11


async def http_get(host: str, port: int, target: str, *, source: str | None = None, limit: int) -> tuple[int, bytes]:
    """Status and body (at most `limit` bytes of it); OSError or h11.ProtocolError when there is no answer.

    `source` is the address to connect from. The caller brings the deadline.
    """
    local = None if source is None else (source, 0)
    reader, writer = await asyncio.open_connection(host, port, local_addr=local)
    try:
        return await exchange(reader, writer, "GET", target, host, limit)
    finally:
        writer.close()


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, target: str, host: str, limit: int
) -> tuple[int, bytes]:
    """One request without a body on a connection that ends with it."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", host), ("connection", "close"), ("content-length", "0")]
    request = h11.Request(method=method, target=target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    status, body = 0, bytearray()
    while True:
        event: Any = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                return status, bytes(body[:limit])
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)
