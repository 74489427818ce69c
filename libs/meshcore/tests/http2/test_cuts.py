"""Large content that many connections are sent alike: whatever room there is, what arrives is what was given."""

import weakref

from hypothesis import given
from hypothesis import strategies as st
from meshcore.http2 import frames
from meshcore.http2.cuts import CHUNK, KEPT, MOST, Cuts
from meshcore.http2.outgoing import ROOM, Outgoing

LARGE = bytes(range(256)) * 1024
PREFIX = b"\0" + len(LARGE).to_bytes(4)


def opened(cuts, *, window=1 << 24, streams=(1,)):
    """A connection whose client has told its windows, and whose first output was taken."""
    made = Outgoing(b"", cuts)
    made.first_window(window)
    made.widen(0, (1 << 24) - frames.FIRST_WINDOW)
    for number in streams:
        made.open(number, 1 << 16, remote_ended=False)
    return made


def all_content(data):
    """By stream."""
    found = {}
    while data:
        upper, lower, kind, _, number = frames.HEAD.unpack_from(data)
        size = upper << 8 | lower
        assert kind == frames.DATA
        assert size <= frames.LARGEST_PAYLOAD
        found[number] = found.get(number, b"") + data[frames.HEAD_SIZE : frames.HEAD_SIZE + size]
        data = data[frames.HEAD_SIZE + size :]
    return found


def taken(one):
    """All that the client has room for, as it is written."""
    written = []
    while one.size:
        assert one.size <= ROOM + frames.HEAD_SIZE
        written += one.take()
        list(one.flush())
    return written


def test_connections_that_are_sent_the_same_are_given_the_same_frames():
    cuts = Cuts()
    first, second, other = opened(cuts), opened(cuts), opened(cuts, streams=(3,))
    for one, number in ((first, 1), (second, 1), (other, 3)):
        assert not one.content(number, PREFIX, LARGE)
    written, again, elsewhere = taken(first), taken(second), taken(other)
    assert len(written) > 3
    assert all(map(lambda one, same: one is same, written, again))
    assert all_content(b"".join(written)) == {1: PREFIX + LARGE}
    assert all_content(b"".join(elsewhere)) == {3: PREFIX + LARGE}
    assert not first.waits


@given(
    st.lists(st.tuples(st.sampled_from([1, 3]), st.integers(1, 300_000)), max_size=12),
    st.integers(0, 300_000),
    st.lists(st.integers(1, 200_000), min_size=1, max_size=4),
    st.booleans(),
)
def test_whatever_room_there_is_what_arrives_is_what_was_given(widened, window, sizes, told):
    cuts = Cuts()
    one = opened(cuts, window=window, streams=(1, 3))
    messages = [LARGE[:size] for size in sizes]
    written = []
    for number in (1, 3):
        for message in messages:
            if told:
                one.say(b"")  # something else is on its way
            one.content(number, b"\0head", message)
    written += taken(one)
    room = {1: window, 3: window}
    for number, size in widened:
        one.widen(number, size)
        room[number] += size
        list(one.flush_widened(number, size))
        written += taken(one)
    found = all_content(b"".join(bytes(piece) for piece in written))
    whole = b"".join(b"\0head" + message for message in messages)
    for number in (1, 3):
        assert found.get(number, b"") == whole[: room[number]]
        assert one.streams[number].sendable == room[number] - len(found.get(number, b""))


def large_messages(count, size):
    return [bytes([number]) * size for number in range(count)]


def test_little_is_kept():
    cuts = Cuts()
    large = large_messages(5, KEPT // 3)
    chunks = [cuts.of(1, (b"", message)).chunks for message in large]
    assert cuts.of(1, (b"", large[-1])).chunks is chunks[-1]
    assert cuts.of(1, (b"", large[0])).chunks is not chunks[0]
    assert all(len(chunk.data) <= CHUNK for chunk in chunks[0])
    assert b"".join(all_content(b"".join(chunk.data for chunk in chunks[0])).values()) == large[0]


def test_what_nobody_asks_for_any_more_is_not_kept():
    cuts = Cuts()
    often, once = large_messages(2, KEPT // 3)
    kept = weakref.ref(cuts.of(1, (b"", often))), weakref.ref(cuts.of(1, (b"", once)))
    for _ in range(3):
        cuts.of(1, (b"", often))
        cuts.forget_unused()
    assert [one() is None for one in kept] == [False, True]
    for _ in range(2):
        cuts.forget_unused()
    assert [one() is None for one in kept] == [True, True]


def test_who_takes_nothing_has_the_same_frames_as_all_others_however_large_and_many_messages_are():
    """They lie here once, and not once for each."""
    cuts = Cuts()
    large = large_messages(3, KEPT + 1)
    slow = [opened(cuts) for _ in range(12)]
    for number, one in enumerate(slow):
        assert not one.content(1, large[number % 3])
    assert len({id(one.streams[1].cut) for one in slow}) == 3
    gone = [weakref.ref(one.streams[1].cut) for one in slow]
    for one in slow:
        one.drop(1)
    assert all(one() is None for one in gone)


def test_attack_12_who_is_sent_the_same_on_many_streams_and_takes_nothing_has_little_of_it_cut():
    """Each stream of a connection has a number of its own, so their frames are no other's."""
    cuts = Cuts()
    message = bytes(MOST // 4)
    one = opened(cuts, streams=range(1, 41, 2))
    for number in range(1, 41, 2):
        assert not one.content(number, message)
    assert sum(stream.cut is not None for stream in one.streams.values()) == 4
    late = opened(cuts, streams=(101,))
    assert not late.content(101, PREFIX, LARGE)
    assert all_content(b"".join(bytes(piece) for piece in taken(late))) == {101: PREFIX + LARGE}
