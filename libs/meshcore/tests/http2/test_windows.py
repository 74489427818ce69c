"""Flow control (RFC 9113 §5.2): what waits for room, on either side."""

from conversation import greeted, opens, parsed, written
from meshcore.http2 import Flushed, Limits, Received, Reset, frames
from meshcore.http2.frames import frame
from meshcore.http2.outgoing import ROOM


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
