"""What tests say to a connection of a server, and what it says to them."""

from meshcore.http2 import Code, Connection, Limits, Violated, frames
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode

HEADERS = ((":method", "POST"), (":scheme", "https"), (":path", "/a"))


BLOCK = encode(HEADERS)


HELLO = frames.PREFACE + frames.settings({})


def parsed(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame."""
    found, offset = [], 0
    while offset < len(data):
        upper, lower, kind, flags, stream = frames.HEAD.unpack_from(data, offset)
        end = offset + 9 + (upper << 8 | lower)
        assert end <= len(data)
        found.append((kind, flags, stream, data[offset + 9 : end]))
        offset = end
    return found


def written(connection: Connection) -> bytes:
    """What is written, as a transport does it that always has room."""
    data = b""
    while connection.backlog:
        data += b"".join(connection.take_output())
        connection.go_on()
    return data


def greeted(limits: Limits | None = None, **settings: int) -> Connection:
    connection = Connection(limits or Limits())
    values = {getattr(frames, name): value for name, value in settings.items()}
    assert connection.receive(frames.PREFACE + frames.settings(values)) == []
    connection.take_output()
    return connection


def opens(stream: int, *, ended: bool = False) -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS | (frames.END_STREAM if ended else 0), stream, BLOCK)


def violation(connection: Connection, data: bytes) -> Code:
    event = connection.receive(data)[-1]
    assert isinstance(event, Violated)
    kind, _, _, payload = parsed(written(connection))[-1]
    assert (kind, payload[4:8]) == (frames.GOAWAY, event.code.to_bytes(4))
    assert connection.receive(opens(99)) == []
    return event.code
