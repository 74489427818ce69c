"""The sending side of a connection: what a client's windows, or the output, have no room for waits. Pure.

Content is never copied while it waits: a stream keeps views of the bytes that it was given, or frames that all streams
share (`cuts.py`), and the output of a connection holds little, so that one large message for a thousand slow clients
lies in memory once.
"""

from collections import deque
from collections.abc import Iterator

from meshcore.http2 import frames
from meshcore.http2.cuts import CHUNK, Chunk, Cut, Cuts
from meshcore.http2.frames import Code

ROOM = 64 * 1024
"""Bytes that wait to be written beyond which no content is added to them."""
Piece = bytes | memoryview


class Stream:
    """An open stream; windows in bytes."""

    __slots__ = ("chunks", "consumed", "cut", "pending", "receivable", "remote_ended", "sendable", "trailers")

    def __init__(self, sendable: int, receivable: int, remote_ended: bool) -> None:
        self.sendable = sendable
        self.receivable = receivable
        self.remote_ended = remote_ended
        self.consumed = 0
        self.pending: list[memoryview] | None = None
        """What there is no room for yet."""
        self.chunks: deque[Chunk] | None = None
        """The same as frames, while all of them have had room so far."""
        self.cut: Cut | None = None
        """What these are of: others who are sent the same have the same ones for as long as it is held."""
        self.trailers: bytes | None = None
        """The last header block, once it only waits for `pending`."""


class Outgoing:
    """Streams by number, the client's windows, and the bytes to write."""

    __slots__ = ("_cuts", "_output", "_sendable", "_waiting", "initial", "sent", "size", "streams")

    def __init__(self, first: bytes, cuts: Cuts | None = None) -> None:
        self._cuts = cuts
        self._output: list[Piece] = [first]
        self.size = len(first)
        """Bytes to write."""
        self.sent = 0
        """Bytes of content that have been given out to be written, ever."""
        self.streams: dict[int, Stream] = {}
        self.initial = frames.FIRST_WINDOW
        self._sendable = frames.FIRST_WINDOW
        self._waiting: dict[int, Stream] = {}

    @property
    def waits(self) -> bool:
        """Whether content waits for room."""
        return bool(self._waiting)

    def take(self) -> list[Piece]:
        """What is to be written now."""
        output, self._output = self._output, []
        self.size = 0
        return output

    def say(self, data: bytes) -> None:
        """Whole frames."""
        self._output.append(data)
        self.size += len(data)

    def open(self, number: int, receivable: int, remote_ended: bool) -> None:
        """A stream begins."""
        self.streams[number] = Stream(self.initial, receivable, remote_ended)

    def drop(self, number: int) -> bool:
        """A stream is over, whatever waits on it; whether there was one."""
        self._waiting.pop(number, None)
        return self.streams.pop(number, None) is not None

    def headers(self, number: int, block: bytes, *, ended: bool) -> None:
        """A header block of at most 16,384 bytes; the last one waits for content that waits."""
        stream = self.streams.get(number)
        if stream is None:
            return
        if ended and stream.pending is not None:
            stream.trailers = block
            return
        flags = frames.END_HEADERS | frames.END_STREAM if ended else frames.END_HEADERS
        self.say(frames.frame(frames.HEADERS, flags, number, block))
        if ended:
            self.drop(number)
            if not stream.remote_ended:
                # The answer is whole without the rest of the request (RFC 9113 §8.1).
                self.say(frames.reset(number, Code.NO_ERROR))

    def content(self, number: int, *pieces: bytes) -> bool:
        """Content in pieces that belong together; False when some of it waits."""
        stream = self.streams.get(number)
        if stream is None:
            return True
        size = 0
        for piece in pieces:
            size += len(piece)
        if stream.pending is None and size <= self._room(stream):
            self._output.append(b"".join((frames.head(frames.DATA, 0, number, size), *pieces)))
            self.size += frames.HEAD_SIZE + size
            self._count(stream, size)
            return True
        views = [memoryview(piece) for piece in pieces if piece]
        if stream.pending is not None:
            stream.pending += views
            return False
        stream.pending = views
        if self._cuts is not None and size > CHUNK:
            stream.cut = self._cuts.of(number, pieces)
            stream.chunks = None if stream.cut is None else deque(stream.cut.chunks)
        if self._push(number, stream):
            return True
        self._waiting[number] = stream
        return False

    def _room(self, stream: Stream) -> int:
        """Bytes that the next frame may have."""
        return min(frames.LARGEST_PAYLOAD, self._sendable, stream.sendable, ROOM - self.size)

    def _count(self, stream: Stream, size: int) -> None:
        self.sent += size
        self._sendable -= size
        stream.sendable -= size

    def _push(self, number: int, stream: Stream) -> bool:
        """Send what there is room for; True when nothing is left."""
        pending = stream.pending or []
        while stream.chunks and pending:
            chunk = stream.chunks[0]
            if min(self._sendable, stream.sendable) < chunk.content or self.size + len(chunk.data) > ROOM:
                break
            stream.chunks.popleft()
            self.say(chunk.data)
            self._count(stream, chunk.content)
            _drop(pending, chunk.content)
        if stream.chunks and self.size == 0:
            # The windows have less room than a chunk: frames of other sizes follow.
            stream.chunks = stream.cut = None
        while pending and not stream.chunks and (room := self._room(stream)) > 0:
            size = min(sum(map(len, pending)), room)
            self.say(frames.head(frames.DATA, 0, number, size))
            left = size
            while left:
                piece = pending[0][:left]
                left -= len(piece)
                self._output.append(piece)
                if len(piece) == len(pending[0]):
                    del pending[0]
                else:
                    pending[0] = pending[0][len(piece) :]
            self.size += size
            self._count(stream, size)
        if not pending:
            stream.pending = stream.chunks = stream.cut = None
        return not pending

    def flush(self) -> Iterator[int]:
        """Send what has found room; gives the streams on which nothing waits any more and that go on.

        Who still waits has its turn after those that did not get anything.
        """
        for number, stream in tuple(self._waiting.items()):
            if self._sendable <= 0 or self.size >= ROOM:
                return
            yield from self._flush_one(number, stream)

    def flush_widened(self, number: int, size: int) -> Iterator[int]:
        """As `flush`, after a window grew by so much: where only one stream has found room, no other is looked at, and
        none where there was room for all. What waits for room in the output is seen to when that is taken."""
        if number:
            stream = self._waiting.get(number)
            if stream is not None and self._sendable > 0 and self.size < ROOM:
                yield from self._flush_one(number, stream)
        elif self._sendable <= size:
            yield from self.flush()

    def _flush_one(self, number: int, stream: Stream) -> Iterator[int]:
        if stream.sendable <= 0:
            return
        del self._waiting[number]
        if not self._push(number, stream):
            self._waiting[number] = stream
        elif stream.trailers is not None:
            self.headers(number, stream.trailers, ended=True)
        else:
            yield number

    def widen(self, number: int, size: int) -> bool:
        """A window of the client grows, of a stream or (0) the connection's; False when it would be impossible."""
        stream = self.streams.get(number)
        if number and stream is None:
            return True
        before = self._sendable if stream is None else stream.sendable
        if not size or before + size > frames.LARGEST_WINDOW:
            return False
        if stream is None:
            self._sendable += size
        else:
            stream.sendable += size
        return True

    def first_window(self, size: int) -> bool:
        """What every stream may begin with from now on, open ones included; False when it would be impossible."""
        change = size - self.initial
        if max((one.sendable for one in self.streams.values()), default=0) + change > frames.LARGEST_WINDOW:
            return False
        self.initial = size
        for stream in self.streams.values():
            stream.sendable += change
        return size <= frames.LARGEST_WINDOW


def _drop(pending: list[memoryview], size: int) -> None:
    while size:
        first = pending[0]
        if len(first) > size:
            pending[0] = first[size:]
            return
        size -= len(first)
        del pending[0]
