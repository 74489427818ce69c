"""Situations of the protocol; numbers of sections are those of RFC 9113."""

import pytest
from conversation import BLOCK, HEADERS, HELLO, greeted, opens, parsed, violation, written
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.http2 import Code, Connection, Limits, Received, Requested, Reset, frames
from meshcore.http2.frames import frame


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
