"""Large content as frames, cut once for all streams of one number that are sent the same. Pure.

A message for a thousand connections has the same frames on nearly all of them: each has opened one stream, and has
room.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from meshcore.http2 import frames

CHUNK = 63 * 1024
"""Bytes of frames that are written at once, at most: a connection's output has room for them, and a little beside."""
KEPT = 8 * 1024 * 1024
"""Bytes of content that are kept cut; the oldest go first."""


class Chunk(NamedTuple):
    """Whole frames, and how much content is in them."""

    data: bytes
    content: int


class _Cut(NamedTuple):
    number: int
    pieces: Sequence[bytes]
    chunks: tuple[Chunk, ...]
    size: int


class Cuts:
    """The last messages that were cut."""

    def __init__(self) -> None:
        self._kept: deque[_Cut] = deque()
        self._size = 0

    def of(self, number: int, pieces: Sequence[bytes]) -> tuple[Chunk, ...]:
        """The content as it goes on a stream that has room for all of it. The last piece is the message: the same
        object is the same content."""
        for known in self._kept:
            if known.number == number and known.pieces[-1] is pieces[-1] and known.pieces[:-1] == pieces[:-1]:
                return known.chunks
        made = _Cut(number, pieces, tuple(_chunks(number, pieces)), sum(map(len, pieces)))
        self._kept.append(made)
        self._size += made.size
        while self._size > KEPT:
            self._size -= self._kept.popleft().size
        return made.chunks


def _chunks(number: int, pieces: Sequence[bytes]) -> Iterator[Chunk]:
    content = memoryview(b"".join(pieces))
    offset = 0
    while offset < len(content):
        parts: list[bytes | memoryview] = []
        began, room = offset, CHUNK
        while offset < len(content) and room > frames.HEAD_SIZE:
            payload = content[offset : offset + min(frames.LARGEST_PAYLOAD, room - frames.HEAD_SIZE)]
            parts += (frames.head(frames.DATA, 0, number, len(payload)), payload)
            offset += len(payload)
            room -= frames.HEAD_SIZE + len(payload)
        yield Chunk(b"".join(parts), offset - began)
