"""The sending side of a connection: what a client's windows have no room for waits, stream by stream. Pure."""

from collections.abc import Iterator

from meshcore.http2 import frames
from meshcore.http2.frames import Code


class Stream:
    """An open stream; windows in bytes."""

    __slots__ = ("consumed", "pending", "receivable", "remote_ended", "sendable", "trailers")

    def __init__(self, sendable: int, receivable: int, remote_ended: bool) -> None:
        self.sendable = sendable
        self.receivable = receivable
        self.remote_ended = remote_ended
        self.consumed = 0
        self.pending = bytearray()
        """What the client's windows have no room for yet."""
        self.trailers: bytes | None = None
        """The last header block, once it only waits for `pending`."""


class Outgoing:
    """Streams by number, the client's windows, and the bytes to write."""

    def __init__(self, first: bytes) -> None:
        self.output = bytearray(first)
        self.streams: dict[int, Stream] = {}
        self.initial = frames.FIRST_WINDOW
        self._sendable = frames.FIRST_WINDOW
        self._waiting: dict[int, Stream] = {}

    @property
    def waits(self) -> bool:
        """Whether anything waits for room."""
        return bool(self._waiting)

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
        if ended and stream.pending:
            stream.trailers = block
            return
        flags = frames.END_HEADERS | frames.END_STREAM if ended else frames.END_HEADERS
        self.output += frames.frame(frames.HEADERS, flags, number, block)
        if ended:
            self.drop(number)
            if not stream.remote_ended:
                # The answer is whole without the rest of the request (RFC 9113 §8.1).
                self.output += frames.reset(number, Code.NO_ERROR)

    def content(self, number: int, data: bytes) -> bool:
        """Content; False when some of it waits."""
        stream = self.streams.get(number)
        if stream is None:
            return True
        if not stream.pending and len(data) <= min(frames.LARGEST_PAYLOAD, self._sendable, stream.sendable):
            self._frame(number, stream, data)
            return True
        stream.pending += data
        self._push(number, stream)
        if stream.pending:
            self._waiting[number] = stream
        return not stream.pending

    def _frame(self, number: int, stream: Stream, data: bytes) -> None:
        self.output += frames.frame(frames.DATA, 0, number, data)
        self._sendable -= len(data)
        stream.sendable -= len(data)

    def _push(self, number: int, stream: Stream) -> None:
        while (size := min(len(stream.pending), frames.LARGEST_PAYLOAD, self._sendable, stream.sendable)) > 0:
            self._frame(number, stream, bytes(stream.pending[:size]))
            del stream.pending[:size]

    def flush(self) -> Iterator[int]:
        """Send what has found room; gives the streams on which nothing waits any more and that go on.

        Who still waits has its turn after those that did not get anything.
        """
        for number, stream in tuple(self._waiting.items()):
            if self._sendable <= 0:
                return
            if stream.sendable <= 0:
                continue
            del self._waiting[number]
            self._push(number, stream)
            if stream.pending:
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
