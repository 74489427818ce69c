"""`mesh.config.list`: the whole published state by request and reply, in chunks.

The request names nothing; the answers come to the request's reply subject, each with a header `Chunk: <number>/<of>`,
and are the bytes of `meshcore.distribution.state_copy` when put together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from nats.aio.msg import Msg

from meshcore.bus.connection import Bus
from meshcore.bus.subjects import CONFIG_LIST
from meshcore.distribution.records import RecordError
from meshcore.distribution.state_copy import StateCopy, decode_state

CHUNK_BYTES = 512 * 1024
CHUNK_HEADER = "Chunk"
LIST_TIMEOUT = 10.0
"""Seconds for all chunks of one list."""


class NobodyAnswers(ConnectionError):
    """No Galley is there to answer."""


def chunks(data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """The messages of an answer: headers and payload."""
    count = max(1, -(-len(data) // CHUNK_BYTES))
    for number in range(count):
        yield {CHUNK_HEADER: f"{number + 1}/{count}"}, data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]


async def request_list(bus: Bus, timeout: float = LIST_TIMEOUT) -> StateCopy:
    """Ask Galley for everything; NobodyAnswers, TimeoutError, or RecordError when the answer is not a state."""
    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox, pending_bytes_limit=-1)
    try:
        await bus.client.publish(CONFIG_LIST, b"", reply=inbox)
        parts: dict[int, bytes] = {}
        async with asyncio.timeout(timeout):
            while True:
                message = await subscription.next_msg(timeout)
                number, count = _position(message)
                parts[number] = message.data
                if len(parts) == count:
                    break
    finally:
        await subscription.unsubscribe()
    return decode_state(b"".join(parts[number] for number in sorted(parts)))


def _position(message: Msg) -> tuple[int, int]:
    headers = message.headers or {}
    if headers.get("Status") == "503":
        raise NobodyAnswers("no Galley answers mesh.config.list")
    try:
        number, count = headers[CHUNK_HEADER].split("/")
        return int(number), int(count)
    except (KeyError, ValueError):
        raise RecordError("an answer to mesh.config.list has no chunk number") from None
