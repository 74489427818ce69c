"""Situations of the protocol; numbers of sections are those of RFC 9113."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.http2 import Code, Connection, Flushed, Limits, Received, Requested, Reset, Violated, frames
from meshcore.http2.connection import FULL_BUDGET, PER_SECOND
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode
from meshcore.http2.outgoing import ROOM

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


def test_the_server_says_its_settings_first_and_confirms_the_clients():
    connection = Connection(Limits(streams=7))
    kind, flags, stream, payload = parsed(written(connection))[0]
    assert (kind, flags, stream) == (frames.SETTINGS, 0, 0)
    assert (frames.MAX_CONCURRENT_STREAMS).to_bytes(2) + (7).to_bytes(4) in payload
    assert connection.receive(HELLO) == []
    assert parsed(written(connection)) == [(frames.SETTINGS, frames.ACK, 0, b"")]


def test_a_request_its_content_and_its_answer():
    connection = greeted()
    events = connection.receive(opens(1) + frame(frames.DATA, frames.END_STREAM, 1, b"hello"))
    assert events == [Requested(1, HEADERS, False), Received(1, b"hello", True)]
    connection.headers(1, b"\x88")
    assert connection.content(1, b"answer")
    connection.headers(1, b"\x88", ended=True)
    assert parsed(written(connection)) == [
        (frames.HEADERS, frames.END_HEADERS, 1, b"\x88"),
        (frames.DATA, 0, 1, b"answer"),
        (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, b"\x88"),
    ]
    assert connection.open_streams == 0


def test_an_answer_before_the_request_is_whole_ends_the_stream_in_both_directions():
    connection = greeted()
    connection.receive(opens(1))
    connection.headers(1, b"\x88", ended=True)
    assert parsed(written(connection))[-1] == (frames.RST_STREAM, 0, 1, Code.NO_ERROR.to_bytes(4))
    assert connection.receive(frame(frames.DATA, 0, 1, b"late") + opens(1, ended=True)) == []


def test_padding_priority_and_pieces_of_header_blocks():
    connection = greeted()
    padded = bytes([3]) + (5).to_bytes(4) + b"\x10" + BLOCK[:4] + b"pad"
    first = frame(frames.HEADERS, frames.PADDED | frames.WITH_PRIORITY, 1, padded)
    rest = frame(frames.CONTINUATION, 0, 1, BLOCK[4:6]) + frame(frames.CONTINUATION, frames.END_HEADERS, 1, BLOCK[6:])
    content = frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\x02hipp")
    assert connection.receive(first + rest + content) == [Requested(1, HEADERS, False), Received(1, b"hi", True)]


def test_trailers_of_the_client_end_its_content():
    connection = greeted()
    assert connection.receive(opens(1) + opens(1, ended=True))[-1] == Received(1, b"", True)
    assert connection.receive(opens(3) + opens(3))[-1] == Reset(3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(frames.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (frame(frames.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
        (opens(2), Code.PROTOCOL_ERROR),
        (opens(0), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff"), Code.COMPRESSION_ERROR),
        (frame(frames.HEADERS, frames.PADDED, 1, b"\x09abc"), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.WITH_PRIORITY | 4, 1, b"\0\0\0\x01\x10" + BLOCK), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.WITH_PRIORITY | 4, 1, b"\0"), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, BLOCK) + frame(frames.PING, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, BLOCK) + frame(frames.CONTINUATION, 4, 3, b""), Code.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, 4, 1, b""), Code.PROTOCOL_ERROR),
        (opens(1, ended=True) + frame(frames.DATA, 0, 1, b"x"), Code.STREAM_CLOSED),
        (frame(frames.PING, 0, 0, b"short"), Code.FRAME_SIZE_ERROR),
        (frame(frames.PING, 0, 1, bytes(8)), Code.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"short"), Code.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 31}), Code.FLOW_CONTROL_ERROR),
        (opens(1) + frames.settings({frames.INITIAL_WINDOW_SIZE: (1 << 32) - 1}), Code.FLOW_CONTROL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 100}), Code.PROTOCOL_ERROR),
        (frames.settings({frames.ENABLE_PUSH: 2}), Code.PROTOCOL_ERROR),
        (frames.window_update(0, 0), Code.PROTOCOL_ERROR),
        (frames.window_update(0, frames.LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
        (frames.window_update(5, 1), Code.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"abc"), Code.FRAME_SIZE_ERROR),
        (frames.reset(1, Code.CANCEL), Code.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 1, b""), Code.FRAME_SIZE_ERROR),
        (frame(frames.PUSH_PROMISE, 0, 1, b""), Code.PROTOCOL_ERROR),
        (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", Code.FRAME_SIZE_ERROR),
    ],
)
def test_what_ends_a_connection(data, code):
    assert violation(greeted(), data) is code


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", frames.PREFACE + frame(6, 0, 0, bytes(8))]
)
def test_what_is_no_http_2_ends_a_connection(data):
    assert violation(Connection(Limits()), data) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.window_update(1, 0), Code.PROTOCOL_ERROR),
        (frames.window_update(1, (1 << 31) - 1), Code.FLOW_CONTROL_ERROR),
    ],
)
def test_what_ends_a_stream_alone(data, code):
    connection = greeted()
    assert connection.receive(opens(1) + data)[-1] == Reset(1)
    assert parsed(written(connection))[-1] == (frames.RST_STREAM, 0, 1, code.to_bytes(4))
    assert connection.receive(opens(3)) == [Requested(3, HEADERS, False)]


def test_unknown_frames_and_late_ones_of_streams_that_are_over_are_passed_over():
    connection = greeted()
    connection.receive(opens(1))
    connection.reset(1, Code.CANCEL)
    late = frame(frames.DATA, 0, 1, b"x") + frames.window_update(1, 9) + frames.reset(1, Code.CANCEL)
    odd = frame(0xBE, 0xFF, 7, b"x") + frame(frames.PRIORITY, 0, 9, bytes(5)) + frames.goaway(0, Code.NO_ERROR)
    assert connection.receive(late + odd) == []


def test_more_streams_than_allowed_are_refused_and_the_others_go_on():
    connection = greeted(Limits(streams=2))
    events = connection.receive(opens(1) + opens(3) + opens(5) + frame(frames.DATA, 0, 1, b"x"))
    assert [type(event) for event in events] == [Requested, Requested, Received]
    assert parsed(written(connection)) == [(frames.RST_STREAM, 0, 5, Code.REFUSED_STREAM.to_bytes(4))]


def test_a_server_that_leaves_refuses_new_streams_and_ends_old_ones_in_peace():
    connection = greeted()
    connection.receive(opens(1))
    connection.leave()
    assert parsed(written(connection))[0][0] == frames.GOAWAY
    assert connection.receive(opens(3) + frame(frames.DATA, 1, 1, b"x")) == [Received(1, b"x", True)]


def test_content_waits_for_the_clients_windows_and_trailers_wait_for_content():
    connection = greeted(INITIAL_WINDOW_SIZE=10)
    connection.receive(opens(1, ended=True) + opens(3, ended=True))
    connection.headers(1, b"\x88")
    assert not connection.content(1, b"a" * 25)
    connection.headers(1, b"\x88", ended=True)
    assert not connection.content(3, b"b" * 15)
    sent = parsed(written(connection))
    assert [(stream, payload) for kind, _, stream, payload in sent if kind == 0] == [(1, b"a" * 10), (3, b"b" * 10)]
    assert connection.receive(frames.window_update(3, 100)) == [Flushed(3)]
    assert parsed(written(connection)) == [(frames.DATA, 0, 3, b"b" * 5)]
    assert connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 25})) == []
    assert [kind for kind, *_ in parsed(written(connection))] == [frames.SETTINGS, frames.DATA, frames.HEADERS]
    assert connection.open_streams == 1
    assert not connection.waits


class Unseen(dict):
    """Streams that wait, of which one may be looked for and not all be looked at."""

    def items(self):
        raise AssertionError("all streams that wait were looked at")


def test_attack_12_a_window_that_grows_bit_by_bit_costs_one_look_however_many_streams_wait():
    connection = greeted(INITIAL_WINDOW_SIZE=0)
    for stream in range(1, 41, 2):
        connection.receive(opens(stream, ended=True))
        assert not connection.content(stream, bytes(2000))
    connection.take_output()
    connection.out._waiting = Unseen(connection.out._waiting)
    assert connection.receive(frames.window_update(3, 1024)) == []
    assert connection.receive(frames.window_update(3, 1024)) == [Flushed(3)]
    assert connection.receive(frames.window_update(0, 1024)) == [], "there was room for all before"
    sent = parsed(b"".join(map(bytes, connection.take_output())))
    assert [stream for kind, _, stream, _ in sent if kind == frames.DATA] == [3, 3]


def test_who_waits_for_the_connection_s_window_is_sent_to_as_soon_as_there_is_one():
    connection = greeted(INITIAL_WINDOW_SIZE=1 << 20)
    connection.receive(opens(1, ended=True) + opens(3, ended=True))
    assert not connection.content(1, bytes(frames.FIRST_WINDOW + 10))
    assert not connection.content(3, bytes(20))
    written(connection)
    assert connection.receive(frames.window_update(0, 15)) == []
    assert connection.receive(frames.window_update(0, 15)) == [Flushed(1), Flushed(3)]


def test_a_window_may_become_negative():
    """§6.9.2."""
    connection = greeted()
    connection.receive(opens(1))
    assert connection.content(1, bytes(10_000))
    connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
    connection.take_output()
    assert not connection.content(1, b"x")
    assert connection.receive(frames.window_update(1, 9_900)) == []
    assert connection.receive(frames.window_update(1, 1)) == [Flushed(1)]


def test_a_large_answer_goes_out_in_frames_and_within_the_connections_window():
    connection = greeted(INITIAL_WINDOW_SIZE=1 << 20)
    connection.receive(opens(1, ended=True))
    assert not connection.content(1, bytes(100_000))
    sizes = [len(payload) for *_, payload in parsed(written(connection))]
    assert sum(sizes) == frames.FIRST_WINDOW
    assert max(sizes) == frames.LARGEST_PAYLOAD
    assert connection.receive(frames.window_update(0, 100_000)) == [Flushed(1)]


def test_what_waits_is_not_copied_and_only_so_much_of_it_lies_in_the_output():
    message, content = bytes(1_000_000), b""
    connection = greeted(INITIAL_WINDOW_SIZE=1 << 24)
    connection.receive(frames.window_update(0, 1 << 24) + opens(1, ended=True))
    assert not connection.content(1, b"first", message)
    assert connection.has_waiting(1)
    connection.headers(1, b"\x88", ended=True)
    while connection.backlog:
        assert connection.backlog <= ROOM + 100
        pieces = connection.take_output()
        large = [piece for piece in pieces if isinstance(piece, memoryview)]
        assert all(piece.obj in (b"first", message) for piece in large)
        assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 100
        content += b"".join(large)
        assert connection.go_on() == []
    assert content == b"first" + message
    assert connection.open_streams == 0


def test_a_client_that_sends_more_than_its_window_loses_the_stream():
    connection = greeted(Limits(stream_window=20))
    assert connection.receive(opens(1) + frame(frames.DATA, 0, 1, bytes(21)))[-1] == Reset(1)
    assert connection.receive(opens(3) + frame(frames.DATA, 0, 3, bytes(20)))[-1] == Received(3, bytes(20), False)
    connection.take_output()
    connection.consumed(3, 20)
    assert parsed(written(connection)) == [(frames.WINDOW_UPDATE, 0, 3, (20).to_bytes(4))]
    assert connection.receive(frame(frames.DATA, 0, 3, bytes(20)))[-1] == Received(3, bytes(20), False)


def test_more_than_the_connections_window_ends_it_and_it_grows_with_what_comes():
    limits = Limits(stream_window=1 << 20, connection_window=100_000)
    connection = greeted(limits)
    for _ in range(50):
        connection.receive(opens(1) if connection.open_streams == 0 else frame(frames.DATA, 0, 1, bytes(10_000)))
    told = [payload for kind, _, stream, payload in parsed(written(connection)) if (kind, stream) == (8, 0)]
    assert sum(int.from_bytes(one) for one in told) >= 400_000


NUISANCES = {
    "pings": frame(frames.PING, 0, 0, bytes(8)),
    "settings": frames.settings({}),
    "empty content": frame(frames.DATA, 0, 1),
    "padding alone": frame(frames.DATA, frames.PADDED, 1, b"\x04" + bytes(4)),
    "priorities": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "unknown frames": frame(0xFE, 0, 0),
    "small windows": frames.window_update(0, 1),
    "late content": frame(frames.DATA, 0, 3, b"x"),
}


@pytest.mark.parametrize("kind", NUISANCES)
def test_attack_12_frames_that_lead_to_nothing_use_a_budget_up(kind):
    connection = greeted()
    connection.receive(opens(1) + opens(3) + frames.reset(3, Code.CANCEL))
    for _ in range(20):
        connection.second_passed()
    for _ in range(FULL_BUDGET // PER_SECOND):
        assert connection.receive(NUISANCES[kind] * PER_SECOND) == []
        connection.second_passed()
    assert violation(connection, NUISANCES[kind] * (FULL_BUDGET + PER_SECOND)) is Code.ENHANCE_YOUR_CALM


def test_attack_12_streams_that_are_reset_as_soon_as_they_begin_end_the_connection():
    many = b"".join(opens(stream) + frames.reset(stream, Code.CANCEL) for stream in range(1, 1001, 2))
    assert violation(greeted(), many) is Code.ENHANCE_YOUR_CALM
    too_many = b"".join(opens(stream) for stream in range(1, 5001, 2))
    assert violation(greeted(), too_many) is Code.ENHANCE_YOUR_CALM


def test_attack_12_answers_to_streams_that_are_reset_already_bring_their_client_nothing():
    connection = greeted()
    for stream in range(1, 1001, 2):
        events = connection.receive(opens(stream) + frames.reset(stream, Code.CANCEL))
        connection.headers(stream, b"\x88", ended=True)
        if isinstance(events[-1], Violated):
            break
    assert isinstance(events[-1], Violated)
    assert events[-1].code is Code.ENHANCE_YOUR_CALM


def test_attack_12_streams_that_a_client_makes_us_reset_cost_it_as_much():
    many = b"".join(opens(stream) + frames.window_update(stream, 0) for stream in range(1, 1001, 2))
    assert violation(greeted(), many) is Code.ENHANCE_YOUR_CALM


def test_attack_12_many_settings_in_one_frame_count_each():
    one = frames.INITIAL_WINDOW_SIZE.to_bytes(2) + frames.FIRST_WINDOW.to_bytes(4)
    assert violation(greeted(), frame(frames.SETTINGS, 0, 0, one * FULL_BUDGET)) is Code.ENHANCE_YOUR_CALM


def test_who_takes_answers_may_give_up_as_many_calls_as_he_likes():
    connection = greeted()
    for stream in range(1, 4001, 4):
        connection.receive(opens(stream) + frames.reset(stream, Code.CANCEL) + opens(stream + 2))
        connection.headers(stream + 2, b"\x88", ended=True)
    assert connection.receive(opens(4001)) == [Requested(4001, HEADERS, False)]


def test_attack_12_a_header_block_without_end_is_bounded():
    connection = greeted()
    first = frame(frames.HEADERS, 0, 1, BLOCK)
    assert violation(connection, first + frame(frames.CONTINUATION, 0, 1) * 100) is Code.ENHANCE_YOUR_CALM
    large = frame(frames.CONTINUATION, 0, 1, bytes(16_000))
    assert violation(greeted(), first + large * 5) is Code.ENHANCE_YOUR_CALM


def test_attack_12_few_bytes_that_mean_many_headers_are_bounded():
    adds = b"\x40\x01a\x7f\x81\x0f" + b"x" * 2048
    bomb = frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK + adds + b"\xbe" * 10_000)
    assert violation(greeted(), bomb) is Code.ENHANCE_YOUR_CALM


def test_a_ping_is_answered_and_one_of_ours_tells_that_somebody_is_there():
    connection = greeted()
    connection.alive = False
    connection.ping()
    assert parsed(written(connection))[0][0] == frames.PING
    assert connection.receive(frame(frames.PING, frames.ACK, 0, b"meshcore")) == []
    assert connection.alive
    connection.receive(frame(frames.PING, 0, 0, b"12345678"))
    assert parsed(written(connection)) == [(frames.PING, frames.ACK, 0, b"12345678")]


FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.sampled_from([0, 1, 1, 2, 3, 5, 7]),
    st.one_of(st.binary(max_size=30), st.just(BLOCK), st.just(bytes(4)), st.just(b"\0\0\1\0"), st.just(bytes(8))),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.one_of(FRAMES, st.sampled_from([opens(1), opens(3, ended=True), opens(5)])), max_size=30), st.data())
def test_whatever_comes_in_whatever_pieces_means_the_same_and_breaks_nothing(sent, data):
    whole = HELLO + b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    at_once, in_pieces = Connection(Limits()), Connection(Limits())
    expected = at_once.receive(whole)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += in_pieces.receive(whole[begin:end])
    assert found == expected
    output = written(at_once)
    assert written(in_pieces) == output
    parsed(output)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_noise_breaks_nothing(noise):
    connection = Connection(Limits())
    connection.receive(HELLO + noise)
    parsed(written(connection))
