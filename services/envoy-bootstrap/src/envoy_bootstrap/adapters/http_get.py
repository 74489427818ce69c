"""One plain HTTP GET with a bounded answer, for what an application beside the agent shows of itself."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import h11

_OURS = frozenset(("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"))


class Answer(NamedTuple):
    """`body` is as much of it as was wanted; `location` is empty where the answer leads nowhere."""

    status: int
    body: bytes
    location: str = ""


async def http_get(host: str, port: int, target: str, *, limit: int) -> Answer:
    """Ask, and read at most `limit` bytes; OSError or h11.ProtocolError when there is no answer.

    The caller brings the deadline.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await exchange(reader, writer, "GET", target, host, limit)
    finally:
        writer.close()


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    target: str,
    host: str,
    limit: int,
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """One request without a body on a connection that ends with it.

    Of `headers` those are sent that do not make another request of it.
    """
    connection = h11.Connection(h11.CLIENT)
    ours = [("host", host), ("connection", "close"), ("content-length", "0")]
    others = [(name, value) for name, value in headers if name.lower() not in _OURS]
    request = h11.Request(method=method, target=target, headers=[*ours, *others])
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    status, body, location = 0, bytearray(), ""
    while True:
        event: Any = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            status = event.status_code
            location = next((value.decode("latin-1") for name, value in event.headers if name == b"location"), "")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                return Answer(status, bytes(body[:limit]), location)
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Answer(status, bytes(body), location)
