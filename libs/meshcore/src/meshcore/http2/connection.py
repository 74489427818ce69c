"""One HTTP/2 connection of a server (RFC 9113): bytes that arrive become events, what is to be sent piles up. Pure.

    connection = Connection(Limits())
    for event in connection.receive(data): ...     Requested, Received, Reset, Flushed; at the end Violated
    connection.headers(...), connection.content(...)
    transport.writelines(connection.take_output())
    for event in connection.go_on(): ...           Flushed: there was no room for it before that

A connection has a budget for frames that cost the server something and bring it nothing (PING, SETTINGS, streams that
are reset, empty DATA): each answer and each second that passes fills it up a little; who uses it up is sent away.
"""

from meshcore.http2 import frames
from meshcore.http2.cuts import Cuts
from meshcore.http2.events import Event, Flushed, Limits, Received, Requested, Reset, Violated
from meshcore.http2.frames import Code
from meshcore.http2.hpack import Decoder, HeadersTooLarge
from meshcore.http2.outgoing import Outgoing, Piece

LARGEST_BLOCK = 64 * 1024
"""Bytes of a header block as it comes."""
LARGEST_HEADERS = 64 * 1024
"""Bytes of the same as it is meant: names and values, with 32 bytes for each pair (RFC 9113 §6.5.2)."""
MOST_PIECES = 32
"""Frames that a header block may come in."""
FULL_BUDGET = 1000
"""What a connection begins with, and has at most; a frame that leads to nothing costs 1."""
PER_ANSWER = 20
"""What the last headers of an answer bring."""
PER_SECOND = 100
RESET_COST = 5
"""What a stream costs that is reset, by whichever side."""
SMALL_WINDOW = 1024
"""Bytes below which a window that grows leads to nothing."""


class _Broken(Exception):
    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Connection:
    """The state of one connection."""

    __slots__ = (
        *("_block", "_budget", "_decoder", "_greeted", "_input", "_last", "_leaving", "_limits", "_over", "out"),
        *("_receivable", "_streams", "_told", "alive"),
    )

    def __init__(self, limits: Limits, cuts: Cuts | None = None) -> None:
        """`cuts` are those of all connections that may be sent the same."""
        self._limits = limits
        told = {
            frames.MAX_CONCURRENT_STREAMS: limits.streams,
            frames.INITIAL_WINDOW_SIZE: limits.stream_window,
            frames.MAX_HEADER_LIST_SIZE: LARGEST_HEADERS,
        }
        room = frames.window_update(0, limits.connection_window - frames.FIRST_WINDOW)
        self.out = Outgoing(frames.settings(told) + room, cuts)
        """What is to be written, to be looked at."""
        self._streams = self.out.streams
        self._input = b""
        self._greeted = self._told = False
        self._decoder = Decoder(LARGEST_HEADERS)
        self._last = 0
        self._block: tuple[int, int, bytearray, int] | None = None
        """Stream, flags, what has come of a header block, and in how many frames."""
        self._receivable = limits.connection_window
        self._budget = FULL_BUDGET
        self._over = self._leaving = False
        self.alive = True
        """Whether anything has come since this was last set to False."""

    @property
    def open_streams(self) -> int:
        """Streams on which something may still be said."""
        return len(self._streams)

    @property
    def waits(self) -> bool:
        """Whether content waits for room in the client's windows or in the output."""
        return self.out.waits

    @property
    def unfinished(self) -> int:
        """Bytes of a frame and of a header block that have not come whole."""
        return len(self._input) if self._block is None else len(self._input) + len(self._block[2])

    @property
    def backlog(self) -> int:
        """Bytes that are to be written."""
        return self.out.size

    @property
    def sent(self) -> int:
        """Bytes of content that windows had room for, ever."""
        return self.out.sent

    def has_waiting(self, number: int) -> bool:
        """Whether content of a stream waits."""
        stream = self._streams.get(number)
        return stream is not None and stream.pending is not None

    def take_output(self) -> list[Piece]:
        """What is to be written now, in pieces."""
        return self.out.take()

    def go_on(self) -> list[Flushed]:
        """The output was taken: there is room for what waited for that."""
        return list(map(Flushed, self.out.flush()))

    def second_passed(self) -> None:
        """Call it each second: the budget grows with time."""
        self._budget = min(FULL_BUDGET, self._budget + PER_SECOND)

    def ping(self) -> None:
        """Ask for a sign of life; whatever comes makes `alive` true."""
        self.out.say(frames.frame(frames.PING, 0, 0, b"meshcore"))

    def leave(self) -> None:
        """Take no more streams; those that are open go on."""
        if not self._leaving and not self._over:
            self._leaving = True
            self.out.say(frames.goaway(self._last, Code.NO_ERROR))

    def break_off(self, code: Code, reason: str) -> None:
        """Tell the client why the connection ends; nothing more is read."""
        if not self._over:
            self._over = True
            self._input, self._block = b"", None
            self.out.say(frames.goaway(self._last, code, reason))

    def headers(self, number: int, block: bytes, *, ended: bool = False) -> None:
        """Send a header block of at most 16,384 bytes; the last one comes after content that waits."""
        if ended and number in self._streams:
            # What is said to nobody, since the client has reset the stream, is no answer.
            self._budget = min(FULL_BUDGET, self._budget + PER_ANSWER)
        self.out.headers(number, block, ended=ended)

    def content(self, number: int, *pieces: bytes) -> bool:
        """Send content; False when some of it waits for room, until `Flushed` or `Reset` comes."""
        return self.out.content(number, *pieces)

    def reset(self, number: int, code: Code) -> None:
        """End a stream at once, whatever waits to be sent on it."""
        if self.out.drop(number):
            self.out.say(frames.reset(number, code))

    def consumed(self, number: int, size: int) -> bool:
        """So many bytes of a stream's content need no room any more; whether there is something to write."""
        stream = self._streams.get(number)
        if stream is None or stream.remote_ended:
            return False
        stream.consumed += size
        if stream.consumed < self._limits.stream_window // 2:
            return False
        self.out.say(frames.window_update(number, stream.consumed))
        stream.receivable += stream.consumed
        stream.consumed = 0
        return True

    def receive(self, data: bytes) -> list[Event]:
        """What `data` says, with what came before it; nothing after Violated."""
        events: list[Event] = []
        if self._over:
            return events
        self.alive = True
        self._input = self._input + data if self._input else data
        try:
            self._read(events)
        except _Broken as error:
            self.break_off(error.code, str(error))
            events.append(Violated(error.code, str(error)))
        return events

    def _read(self, events: list[Event]) -> None:
        data, offset = self._input, 0
        if not self._greeted:
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise _Broken(Code.PROTOCOL_ERROR, "this is no HTTP/2")
            if len(data) < len(frames.PREFACE):
                return
            self._greeted, offset = True, len(frames.PREFACE)
        while len(data) - offset >= frames.HEAD_SIZE:
            upper, lower, kind, flags, stream = frames.HEAD.unpack_from(data, offset)
            size = upper << 8 | lower
            if size > frames.LARGEST_PAYLOAD:
                raise _Broken(Code.FRAME_SIZE_ERROR, "a frame is too large")
            end = offset + frames.HEAD_SIZE + size
            if end > len(data):
                break
            payload = data[offset + frames.HEAD_SIZE : end]
            if kind == frames.DATA and self._told and self._block is None:
                self._data(flags, stream & 0x7FFFFFFF, payload, events)
            else:
                self._frame(kind, flags, stream & 0x7FFFFFFF, payload, events)
            offset = end
        self._input = data[offset:] if offset else data

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if self._block is not None and (kind != frames.CONTINUATION or stream != self._block[0]):
            raise _Broken(Code.PROTOCOL_ERROR, "a header block is interrupted")
        if not self._told and kind != frames.SETTINGS:
            raise _Broken(Code.PROTOCOL_ERROR, "SETTINGS come first")
        handler = _HANDLERS.get(kind)
        if handler is None:
            # PRIORITY, GOAWAY (the client opens no more streams), and kinds that are to be passed over.
            self._spend(1)
        else:
            handler(self, flags, stream, payload, events)

    def _spend(self, cost: int) -> None:
        self._budget -= cost
        if self._budget < 0:
            raise _Broken(Code.ENHANCE_YOUR_CALM, "too much that leads to nothing")

    def _data(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if not number or number > self._last:
            raise _Broken(Code.PROTOCOL_ERROR, "content of a stream that has not begun")
        size, ended = len(payload), bool(flags & frames.END_STREAM)
        self._receivable -= size
        if self._receivable < self._limits.connection_window // 2:
            self._make_room()
        stream = self._streams.get(number)
        if stream is None or (not size and not ended):
            # A stream that was given up a moment ago may have content on its way.
            self._spend(1)
            return
        if stream.remote_ended:
            raise _Broken(Code.STREAM_CLOSED, "content after the end of its stream")
        stream.receivable -= size
        if stream.receivable < 0:
            self._refuse(number, Code.FLOW_CONTROL_ERROR, events)
            return
        content = payload
        if flags & frames.PADDED:
            content = _unpadded(payload)
            self.consumed(number, size - len(content))
            if not content and not ended:
                self._spend(1)
                return
        stream.remote_ended = ended
        events.append(Received(number, content, ended))

    def _make_room(self) -> None:
        whole = self._limits.connection_window
        if self._receivable < 0:
            raise _Broken(Code.FLOW_CONTROL_ERROR, "more content than the connection may send")
        self.out.say(frames.window_update(0, whole - self._receivable))
        self._receivable = whole

    def _refuse(self, number: int, code: Code, events: list[Event]) -> None:
        # It costs as much as a reset of the client's own: what it makes us reset has begun to cost as well.
        self._spend(RESET_COST)
        self.reset(number, code)
        events.append(Reset(number))

    def _headers(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if not number & 1:
            raise _Broken(Code.PROTOCOL_ERROR, "clients open odd streams")
        block = _unpadded(payload) if flags & frames.PADDED else payload
        if flags & frames.WITH_PRIORITY:
            if len(block) < 5 or int.from_bytes(block[:4]) & 0x7FFFFFFF == number:
                raise _Broken(Code.PROTOCOL_ERROR, "a stream that depends on itself, or a frame that is cut off")
            block = block[5:]
        if flags & frames.END_HEADERS:
            self._opened(number, flags, block, events)
        else:
            self._block = (number, flags, bytearray(block), 1)

    def _continuation(self, flags: int, _: int, payload: bytes, events: list[Event]) -> None:
        if self._block is None:
            raise _Broken(Code.PROTOCOL_ERROR, "a header block goes on that has not begun")
        number, first_flags, block, pieces = self._block
        block += payload
        if len(block) > LARGEST_BLOCK or pieces >= MOST_PIECES:
            raise _Broken(Code.ENHANCE_YOUR_CALM, "a header block is too large")
        self._block = (number, first_flags, block, pieces + 1)
        if flags & frames.END_HEADERS:
            self._block = None
            self._opened(number, first_flags, bytes(block), events)

    def _opened(self, number: int, flags: int, block: bytes, events: list[Event]) -> None:
        try:
            headers = self._decoder.decode(block)
        except ValueError as error:
            raise _Broken(Code.COMPRESSION_ERROR, str(error)) from None
        except HeadersTooLarge:
            raise _Broken(Code.ENHANCE_YOUR_CALM, "headers are too large") from None
        ended = bool(flags & frames.END_STREAM)
        if number <= self._last:
            self._trailers(number, ended, events)
            return
        self._last = number
        if len(self._streams) >= self._limits.streams or self._leaving:
            self.out.say(frames.reset(number, Code.REFUSED_STREAM))
            self._spend(1)
            return
        self.out.open(number, self._limits.stream_window, ended)
        events.append(Requested(number, headers, ended))

    def _trailers(self, number: int, ended: bool, events: list[Event]) -> None:
        """A second header block says nothing that a server of gRPC looks at, but that the stream ends."""
        stream = self._streams.get(number)
        if stream is None:
            self._spend(1)
        elif stream.remote_ended or not ended:
            self._refuse(number, Code.PROTOCOL_ERROR, events)
        else:
            stream.remote_ended = True
            events.append(Received(number, b"", True))

    def _window_update(self, _: int, number: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise _Broken(Code.FRAME_SIZE_ERROR, "a window of another size")
        if number > self._last:
            raise _Broken(Code.PROTOCOL_ERROR, "a window of a stream that has not begun")
        size = int.from_bytes(payload) & 0x7FFFFFFF
        if not self.out.widen(number, size):
            code = Code.FLOW_CONTROL_ERROR if size else Code.PROTOCOL_ERROR
            if not number:
                raise _Broken(code, "an impossible window")
            self._refuse(number, code, events)
            return
        if size < SMALL_WINDOW:
            self._spend(1)
        if self.out.waits:
            events.extend(map(Flushed, self.out.flush_widened(number, size)))

    def _ping(self, flags: int, stream: int, payload: bytes, _: list[Event]) -> None:
        if stream or len(payload) != 8:
            raise _Broken(Code.FRAME_SIZE_ERROR, "a ping of another size, or of a stream")
        self._spend(1)
        if not flags & frames.ACK:
            self.out.say(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _settings(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if stream or len(payload) % 6 or (flags & frames.ACK and payload):
            raise _Broken(Code.FRAME_SIZE_ERROR, "settings of another size, or of a stream")
        # Each of them may move the windows of all streams.
        self._spend(1 + len(payload) // 6)
        if flags & frames.ACK:
            return
        self._told = True
        for place in range(0, len(payload), 6):
            key, value = int.from_bytes(payload[place : place + 2]), int.from_bytes(payload[place + 2 : place + 6])
            if key == frames.INITIAL_WINDOW_SIZE:
                if not self.out.first_window(value):
                    raise _Broken(Code.FLOW_CONTROL_ERROR, "an impossible window")
            elif key == frames.MAX_FRAME_SIZE and not frames.LARGEST_PAYLOAD <= value < 1 << 24:
                raise _Broken(Code.PROTOCOL_ERROR, "an impossible size of frames")
            elif key == frames.ENABLE_PUSH and value > 1:
                raise _Broken(Code.PROTOCOL_ERROR, "an impossible setting of pushes")
        self.out.say(frames.frame(frames.SETTINGS, frames.ACK, 0))
        events.extend(map(Flushed, self.out.flush()))

    def _reset(self, _: int, number: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise _Broken(Code.FRAME_SIZE_ERROR, "a reset of another size")
        if not number or number > self._last:
            raise _Broken(Code.PROTOCOL_ERROR, "the end of a stream that has not begun")
        self._spend(RESET_COST)
        if self.out.drop(number):
            events.append(Reset(number))

    def _push_promise(self, _: int, __: int, ___: bytes, ____: list[Event]) -> None:
        raise _Broken(Code.PROTOCOL_ERROR, "clients push nothing")


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise _Broken(Code.PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - payload[0]]


_HANDLERS = {
    frames.DATA: Connection._data,
    frames.HEADERS: Connection._headers,
    frames.RST_STREAM: Connection._reset,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.WINDOW_UPDATE: Connection._window_update,
    frames.CONTINUATION: Connection._continuation,
}
