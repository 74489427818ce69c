"""The layer of TLS between a wire without a socket and a protocol that notes what it is told."""

import asyncio
import random
import ssl

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding
from meshcore.grpc_server import handshakes, secured
from meshcore.grpc_server.secured import LONGEST_NOTHING, SLICE
from meshcore.tls.peers import verified_chain
from wires import CLIENT, Line, Lines

RECORD = 22
"""Bytes that a record of TLS 1.3 has beside its content."""
ALERT = b"\x15"


@pytest.fixture
def lines(tmp_path):
    found = Lines(tmp_path)
    yield found
    assert not found.port.incoming.pending, "ciphertext of one connection lies where the next one's goes"
    assert not found.port.outgoing.pending
    assert not found.port.waiting


async def test_a_small_message_is_one_record_one_write_and_one_call(lines):
    line = await lines.line().greet()
    assert line.wire.take() == b"", "no tickets: nobody comes back with one"
    line.above.transport.write(b"x" * 500)
    assert [len(one) for one in line.wire.written] == [500 + RECORD]
    assert line.heard() == b"x" * 500
    line.wire.bring(line.client.write(b"y" * 500))
    assert line.above.said == [b"y" * 500]
    assert line.wire.written == []


async def test_what_comes_with_the_end_of_the_handshake_is_not_lost(lines):
    line = lines.line()
    line.wire.bring(line.client.step())
    await asyncio.sleep(0)
    last = line.client.step(line.wire.take())
    assert line.client.greeted
    line.wire.bring(last + line.client.write(b"hello"))
    await asyncio.sleep(0)
    assert line.above.said == [b"hello"]


async def test_who_serves_sees_the_peer_and_the_wire(lines):
    line = await lines.line().greet()
    transport = line.above.transport
    tls = transport.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    assert verified_chain(tls)[0] == CLIENT.certificate.public_bytes(Encoding.DER)
    assert transport.get_extra_info("peername") == ("192.0.2.1", 4711)
    assert transport.get_extra_info("sockname", "none") == "none"


async def test_a_megabyte_goes_both_ways_in_slices(lines):
    line = await lines.line().greet()
    much = bytes(range(256)) * 4096
    line.above.transport.write(much)
    assert max(map(len, line.wire.written)) <= SLICE + 4 * RECORD
    assert line.heard() == much
    ciphertext = line.client.write(much)
    for place in range(0, len(ciphertext), 100_001):
        line.wire.bring(ciphertext[place : place + 100_001])
    assert line.above.text == much
    assert max(map(len, line.above.said)) <= SLICE + 16 * 1024, "a slice, and a record that began before it"


async def test_a_record_is_read_at_once_however_little_there_is_of_the_next(lines, monkeypatch):
    line = await lines.line().greet()
    records = [line.client.write(bytes([number]) * secured.RECORD) for number in range(3)]
    asked = []
    read = ssl.SSLObject.read

    def counted(tls, size):
        asked.append(size)
        return read(tls, size)

    monkeypatch.setattr(ssl.SSLObject, "read", counted)
    # The slice ends within the second record; the next one has its end, and 30 bytes of the third.
    line.wire.bring(records[0] + records[1][:-100])
    line.wire.bring(records[1][-100:] + records[2][:30])
    line.wire.bring(records[2][30:])
    assert line.above.text == b"".join(bytes([number]) * secured.RECORD for number in range(3))
    assert len(asked) <= 8, asked


async def test_who_does_not_want_to_read_gets_the_rest_of_a_slice_and_later_all_in_order(lines):
    line = await lines.line().greet()
    above = line.above
    much = bytes(range(256)) * 1024
    above.on_data = lambda _: above.transport.pause_reading()
    line.wire.bring(line.client.write(much))
    assert not line.wire.reads
    assert 0 < len(above.text) <= SLICE
    so_far = len(above.text)
    line.secured.resume_writing()
    await asyncio.sleep(0)
    assert len(above.text) == so_far, "that the wire has room is no reason to read"
    while above.text != much:
        assert not line.wire.reads
        above.transport.resume_reading()
        above.transport.pause_reading()
        above.transport.resume_reading()
        before = len(above.text)
        await asyncio.sleep(0)
        assert before < len(above.text) <= before + SLICE + 16 * 1024
    above.on_data = lambda _: None
    above.transport.resume_reading()
    assert line.wire.reads


async def test_one_connection_may_write_to_another_while_it_is_read(lines):
    """As when the one that holds most is broken off for what another one says."""
    one, other = await lines.line().greet(), await lines.line().greet()

    def tell(data):
        other.above.transport.write(b"for you: " + data)
        other.wire.bring(other.client.write(b"mine"))

    one.above.on_data = tell
    one.wire.bring(one.client.write(b"first") + one.client.write(b"second"))
    assert other.heard() == b"for you: firstsecond"
    assert other.above.text == b"mine"
    one.above.transport.write(b"still")
    assert one.heard() == b"still"


async def test_a_full_wire_is_told_and_takes_no_more_than_was_being_written(lines):
    line = await lines.line().greet()
    line.wire.room = 1000
    line.above.transport.write(bytes(2000))
    assert line.above.paused
    assert len(line.wire.drain()) == 2000 + RECORD
    assert not line.above.paused


async def test_attack_12_new_keys_without_end_are_answered_only_as_long_as_the_answers_are_taken(lines):
    line = await lines.line().greet()
    line.wire.room = 1000
    updates = b"".join(line.client.key_update() + line.client.forged(b"x") for _ in range(8000))
    assert len(updates) > 5 * SLICE
    for place in range(0, len(updates), SLICE):
        if not line.wire.reads:
            break
        line.wire.bring(updates[place : place + SLICE])
    assert not line.wire.reads, "its answers lie there"
    assert line.wire.backlog <= 1000 + SLICE
    so_far = len(line.above.text)
    assert 0 < so_far < 8000
    above = line.above
    above.transport.resume_reading()
    assert not line.wire.reads, "who serves the connection has nothing to do with it"
    assert line.client.read(line.wire.drain()) == b""
    assert line.wire.reads
    line.wire.bring(updates[place:])
    assert above.text == b"x" * 8000


async def test_attack_12_who_says_nothing_in_many_records_is_sent_away(lines):
    line = await lines.line().greet()
    with structlog.testing.capture_logs() as logs:
        sent = 0
        while not line.wire.closing:
            update = line.client.key_update()
            line.wire.bring(update)
            sent += len(update)
        assert 0.9 * LONGEST_NOTHING < sent <= LONGEST_NOTHING + 100
    assert [(one["event"], one["reason"]) for one in logs] == [("connection ended", "too much that says nothing")]
    line.heard()
    assert line.client.over
    assert line.secured.is_closing()


@pytest.mark.parametrize(
    "words",
    [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(3000), b"\x16\x03\x01\xff\xff"],
)
async def test_what_is_no_tls_is_ended_with_what_openssl_says_to_it(lines, words):
    line = lines.line()
    with structlog.testing.capture_logs() as logs:
        line.wire.bring(words)
        await asyncio.sleep(0)
    assert [(one["event"], one["peer"]) for one in logs] == [("handshake failed", "192.0.2.1:4711")]
    assert line.wire.ended
    assert line.wire.take()[:1] in (b"", ALERT), "what OpenSSL takes for no TLS at all it does not answer"
    line.wire.bring(b"more")
    assert not line.wire.aborted
    assert line.secured.eof_received() is None
    line.secured.connection_lost(None)
    assert lines.above == {}


async def test_garbage_after_the_handshake_ends_the_connection(lines):
    line = await lines.line().greet()
    with structlog.testing.capture_logs() as logs:
        line.wire.bring(line.client.write(b"good") + b"\x17\x03\x03\0\x20" + bytes(32))
    assert line.above.said == [b"good"]
    assert [one["event"] for one in logs] == ["connection ended"]
    assert line.wire.closing
    line.above.transport.write(b"nobody is there")
    line.secured.connection_lost(None)
    assert line.above.lost


async def test_what_came_before_garbage_is_told_and_an_answer_to_it_goes_nowhere(lines):
    line = await lines.line().greet()
    line.above.on_data = lambda _: line.above.transport.write(b"answer")
    with structlog.testing.capture_logs() as logs:
        line.wire.bring(line.client.write(b"good") + b"\x17\x03\x03\0\x20" + bytes(32))
    assert line.above.said == [b"good"]
    assert [one["event"] for one in logs] == ["connection ended"]
    assert line.wire.closing


async def test_a_good_bye_of_the_client_is_answered_after_what_was_written_for_it(lines):
    line = await lines.line().greet()
    line.above.transport.write(b"answer")
    line.wire.bring(line.client.write(b"ask") + line.client.goodbye())
    assert line.above.said == [b"ask"]
    assert line.wire.closing
    assert line.heard() == b"answer"
    assert line.client.over


async def test_who_only_hangs_up_gets_what_was_written(lines):
    line = await lines.line().greet()
    line.above.transport.write(b"answer")
    assert not line.secured.eof_received(), "the wire closes by itself"
    assert line.heard() == b"answer"
    assert line.client.over


async def test_after_a_good_bye_nothing_is_read_or_written_and_patience_has_an_end(lines, monkeypatch):
    monkeypatch.setattr(secured, "LINGER", 0.01)
    line = await lines.line().greet()
    line.wire.reads = False
    line.above.transport.close()
    line.above.transport.close()
    assert line.above.transport.is_closing()
    assert line.wire.ended
    assert line.wire.reads, "what still comes must not take away what was written"
    line.wire.bring(line.client.write(b"late"))
    line.above.transport.write(b"later")
    assert line.above.said == []
    assert line.heard() == b""
    assert line.client.over
    await asyncio.wait_for(line.wire.gone.wait(), 60)
    line.secured.connection_lost(None)
    assert line.above.lost


async def test_a_good_bye_to_who_is_gone_already_is_an_end(lines, monkeypatch):
    line = await lines.line().greet()

    def shut_down():
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(line.wire, "write_eof", shut_down)
    line.above.transport.close()
    assert line.wire.aborted


async def test_a_connection_that_ends_with_something_held_holds_nothing(lines):
    line = await lines.line().greet()
    above = line.above
    above.on_data = lambda _: above.transport.pause_reading()
    line.wire.bring(line.client.write(bytes(200_000)))
    line.above.transport.resume_reading()
    line.above.transport.abort()
    assert line.wire.aborted
    line.secured.connection_lost(None)
    so_far = len(above.text)
    await asyncio.sleep(0)
    assert len(above.text) == so_far
    assert above.transport.get_extra_info("peername") is None
    above.transport.resume_reading()
    above.transport.close()


async def test_attack_12_a_handshake_that_does_not_end_is_ended(lines, monkeypatch):
    monkeypatch.setattr(secured, "HANDSHAKE_TIMEOUT", 0.5)
    silent, half = lines.line(), lines.line()
    half.wire.bring(half.client.step()[:100])
    good = await lines.line().greet()
    for line in (silent, half):
        await asyncio.wait_for(line.wire.gone.wait(), 60)
    assert not good.wire.aborted
    assert len(lines.above) == 1


async def test_attack_12_handshakes_take_turns(lines, monkeypatch):
    monkeypatch.setattr(handshakes, "LEAST", 0)
    monkeypatch.setattr(handshakes, "MOST", 0)
    waiting = [lines.line() for _ in range(5)]
    for line in waiting:
        line.wire.bring(line.client.step())
        assert not line.wire.reads, "no more of it than this is kept"
    assert lines.port.waiting > 0
    for begun in range(1, 6):
        await asyncio.sleep(0)
        assert sum(bool(line.wire.written) for line in waiting) == begun
    assert all(line.wire.reads for line in waiting)


async def test_a_handshake_is_not_late_for_what_it_waited_and_late_afterwards(lines, monkeypatch):
    monkeypatch.setattr(secured, "HANDSHAKE_TIMEOUT", 0.1)
    turns = lines.port.handshakes.wants
    monkeypatch.setattr(lines.port.handshakes, "wants", lambda _: None)
    waits = lines.line()
    waits.wire.bring(waits.client.step())
    await asyncio.wait_for(lines.line().wire.gone.wait(), 60)
    assert not waits.wire.aborted
    turns(waits.secured)
    await asyncio.sleep(0)
    assert waits.wire.written
    assert not waits.wire.aborted
    await asyncio.wait_for(waits.wire.gone.wait(), 60)


async def test_attack_12_so_many_bytes_wait_for_their_turns_and_no_more(lines, monkeypatch):
    monkeypatch.setattr(secured, "MOST_WAITING", 1000)
    first, second = lines.line(), lines.line()
    for line in (first, second):
        line.wire.bring(line.client.step())
    assert not first.wire.written
    assert second.wire.written, "it did not wait"
    first.secured.connection_lost(None)
    assert lines.port.waiting == 0
    await asyncio.sleep(0)
    assert not first.wire.written


async def test_attack_12_who_only_connects_gives_his_place_to_others(tmp_path):
    lines = Lines(tmp_path, connections=3)
    silent = [lines.line() for _ in range(3)]
    good = await lines.line().greet()
    assert [line.wire.aborted for line in silent] == [True, False, False]
    assert not good.wire.aborted
    more = [lines.line() for _ in range(4)]
    assert [line.wire.aborted for line in [*silent, *more]] == [True] * 4 + [False] * 3, "nobody is ended twice"
    lines.port.drop_unfinished()
    assert all(line.wire.aborted for line in [*silent, *more])
    assert not good.wire.aborted


async def test_nobody_shakes_hands_where_there_is_no_room(lines, monkeypatch):
    monkeypatch.setattr(lines.service, "has_room", lambda: False)
    line = lines.line()
    assert line.wire.aborted
    line.secured.connection_lost(None)


async def test_connections_begin_speak_and_end_in_any_order_and_none_hears_another(lines, monkeypatch):
    """They share what OpenSSL reads from and writes to."""
    # All that wait have their turn in a pass of the loop, and none is ended, however slow the machine is.
    monkeypatch.setattr(handshakes, "monotonic", lambda: 0.0)
    monkeypatch.setattr(secured, "HANDSHAKE_TIMEOUT", 3600)
    draw = random.Random(7)
    open_lines: dict[Line, bytes] = {}
    begun: list[Line] = []
    spoken = 0
    for number in range(3000):
        choice = draw.random()
        if choice < 0.15 or not begun:
            begun.append(lines.line())
            begun[-1].wire.bring(begun[-1].client.step())
        elif choice < 0.45:
            line = draw.choice(begun)
            await asyncio.sleep(0)
            if said := line.client.step(line.wire.take()):
                line.wire.bring(said)
                begun.remove(line)
                open_lines[line] = b""
        elif choice < 0.5:
            begun.pop(draw.randrange(len(begun))).secured.connection_lost(None)
        elif open_lines:
            line = draw.choice(list(open_lines))
            if choice < 0.55:
                del open_lines[line]
                line.secured.connection_lost(None)
                continue
            await asyncio.sleep(0)  # its turn
            said = draw.randbytes(draw.choice((1, 500, 20_000))) + number.to_bytes(4)
            open_lines[line] += said
            line.wire.bring(line.client.write(said))
            assert line.above.text == open_lines[line]
            line.above.transport.write(said)
            assert line.heard() == said
            spoken += 1
    assert spoken > 500
