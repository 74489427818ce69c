"""Clients that ask too much, say nothing, or take nothing, and those who only look like them."""

import asyncio

import grpc
import pytest
from called import CA, HEADERS, ask, refusal, running
from meshcore.http2 import Code, frames
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode
from meshcore.runtime import tasks
from meshcore.testing.http2_client import FrameClient
from meshcore.tls import ssl_root_context


async def test_attack_12_a_thousand_calls_of_one_connection_make_nobody_wait_for_all_of_them():
    async with running() as found, found.channel() as channel:
        await ask(channel, "Echo", metadata=[("who", "good")])
        raw = await found.raw()
        await raw.until(frames.SETTINGS, 0)
        for stream in range(1, 2001, 2):
            raw.call(stream, "/t/Echo")
        await ask(channel, "Echo", metadata=[("who", "good")])
        begun = [(await raw.next())[2] for _ in range(50)]
        assert begun
        assert found.methods.begun.count("") <= 128
        raw.close()


async def test_attack_12_who_never_takes_answers_is_sent_away_and_nothing_piles_up():
    async with running(stalled_after=2) as found, found.channel() as channel:
        stalled = [await found.raw({frames.INITIAL_WINDOW_SIZE: 0}) for _ in range(20)]
        for raw in stalled:
            for stream in range(1, 100, 2):
                raw.call(stream, "/t/Echo", b"\x0a\x7d" + bytes(125))
            raw.call(101, "/t/Lecture", ended=False)
        assert await ask(channel, "Echo", b"x") == b"x"
        for raw in stalled:
            assert len(await raw.ended()) < 64 * 1024
            raw.close()
        assert await ask(channel, "Echo", b"x") == b"x"


async def test_attack_12_for_who_does_not_read_nothing_piles_up_and_he_is_sent_away():
    async with running(stalled_after=2) as found, found.channel() as channel:
        raw = await found.raw({frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW})
        raw.writer.transport.pause_reading()
        raw.writer.write(frames.window_update(0, frames.LARGEST_WINDOW - frames.FIRST_WINDOW))
        for stream in range(1, 201, 2):
            raw.call(stream, "/t/Lecture", ended=False)
        assert await ask(channel, "Echo", b"x") == b"x"
        await found.methods.given_up.wait()
        assert found.methods.written < 100 * 64 / 4, "of 400 MiB most was never written"
        raw.close()


@pytest.mark.parametrize("content", [b"\0\0\0\x3f\xfb" + bytes(16_379), bytes(16_380)], ids=["large", "empty"])
async def test_attack_12_of_messages_that_nobody_reads_only_so_many_are_taken(content):
    async with running() as found:
        raw = await found.raw()
        raw.call(1, "/t/Deaf", ended=False)
        raw.writer.write(frame(frames.DATA, 0, 1, content) * 20)
        assert (await raw.until(frames.RST_STREAM, 1))[3] == Code.FLOW_CONTROL_ERROR.to_bytes(4)
        for stream in range(3, 203, 2):
            raw.call(stream, "/t/Deaf", ended=False)
            raw.writer.write(frame(frames.DATA, 0, stream, content) * 3)
        assert (await raw.until(frames.GOAWAY, 0))[3][4:8] == Code.ENHANCE_YOUR_CALM.to_bytes(4)
        raw.close()


async def test_attack_12_who_is_not_welcome_yet_says_what_one_window_holds():
    async with running() as found:
        raw = await found.raw()
        raw.call(1, "/t/Guarded", ended=False)
        content = b"\0" + (100_000).to_bytes(4) + bytes(100_000)
        for begin in range(0, 65_000, 13_000):
            raw.writer.write(frame(frames.DATA, 0, 1, content[begin : begin + 13_000]))
        raw.writer.write(frame(frames.PING, 0, 0, bytes(8)))
        while (said := await raw.next())[0] != frames.PING:
            assert (said[0], said[2]) != (frames.WINDOW_UPDATE, 1), "before anybody has looked at the client"
        found.methods.go_on.set()
        await raw.until(frames.WINDOW_UPDATE, 1)
        for begin in range(65_000, len(content), 16_384):
            raw.writer.write(frame(frames.DATA, 0, 1, content[begin : begin + 16_384]))
        assert (await raw.until(frames.DATA, 1))[3][:5] == content[:5]
        raw.close()


async def test_attack_12_of_all_connections_the_one_that_leaves_most_lying_is_ended():
    async with running(held_in_all=100_000) as found, found.channel() as channel:
        raws = [await found.raw() for _ in range(3)]
        begun = frame(frames.DATA, 0, 1, b"\0\0\3\0\0" + bytes(16_000))
        for raw, more in zip(raws, (0, 2, 1), strict=True):
            raw.call(1, "/t/Deaf", ended=False)
            raw.writer.write(begun + frame(frames.DATA, 0, 1, bytes(16_000)) * more)
            raw.call(3, "/t/Echo")
            await raw.until(frames.DATA, 3)
        raws[0].call(5, "/t/Deaf", ended=False)
        raws[0].writer.write(frame(frames.DATA, 0, 5, b"\0\0\3\0\0" + bytes(16_000)))
        assert (await raws[1].until(frames.GOAWAY, 0))[3][4:8] == Code.ENHANCE_YOUR_CALM.to_bytes(4)
        assert await ask(channel, "Echo", b"x") == b"x"
        for raw in (raws[0], raws[2]):
            raw.call(7, "/t/Echo")
            await raw.until(frames.DATA, 7)
        for raw in raws:
            raw.close()


async def test_attack_12_headers_of_calls_count_as_what_lies_here():
    async with running(held=100_000) as found, found.channel() as channel:
        raw = await found.raw()
        for stream in range(1, 41, 2):
            raw.call(stream, "/t/Deaf", ended=False, headers=(("x", str(stream) * 5_000),))
        assert (await raw.until(frames.GOAWAY, 0))[3][4:8] == Code.ENHANCE_YOUR_CALM.to_bytes(4)
        assert await ask(channel, "Echo", b"x") == b"x"
        raw.close()


async def test_attack_12_headers_that_never_end_count_as_what_lies_here():
    """Of all connections the one that has most of them is ended; who ends them has nothing lying here."""
    block = encode((*HEADERS, ("x", "x" * 60_000)))
    pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]

    def begin(raw, count):
        raw.writer.write(frame(frames.HEADERS, frames.END_STREAM, 1, pieces[0]))
        raw.writer.write(b"".join(frame(frames.CONTINUATION, 0, 1, piece) for piece in pieces[1:count]))

    async with running(held_in_all=140_000) as found:
        modest = [await found.raw() for _ in range(2)]
        for raw in modest:
            begin(raw, 3)
        modest[0].writer.write(frame(frames.CONTINUATION, frames.END_HEADERS, 1, pieces[3]))
        await modest[0].until(frames.HEADERS, 1)
        greedy = await found.raw()
        begin(greedy, 3)
        greedy.writer.write(frame(frames.CONTINUATION, 0, 1, pieces[3][:4_000]) + frame(frames.DATA, 0, 1)[:3])
        more = await found.raw()
        begin(more, 3)
        assert (await greedy.until(frames.GOAWAY, 0))[3][4:8] == Code.ENHANCE_YOUR_CALM.to_bytes(4)
        for raw in (modest[1], more):
            raw.writer.write(frame(frames.CONTINUATION, frames.END_HEADERS, 1, pieces[3]))
            await raw.until(frames.HEADERS, 1)
        for raw in (*modest, greedy, more):
            raw.close()


async def test_who_takes_little_by_little_is_not_taken_for_one_who_takes_nothing():
    async with running(stalled_after=3, ping_after=1) as found:
        raw = await found.raw({frames.INITIAL_WINDOW_SIZE: 0})
        raw.call(1, "/t/Lecture", ended=False)
        for _ in range(3):
            await raw.until(frames.PING, 0)
            raw.writer.write(frames.window_update(1, 20_000))
            await raw.until(frames.DATA, 1)
        raw.close()


async def test_attack_12_calls_that_are_only_begun_keep_nobody_out():
    async with running(calls=2) as found, found.channel() as channel:
        raw = await found.raw()
        for stream in (1, 3):
            raw.writer.write(frame(frames.HEADERS, frames.END_HEADERS, stream, encode(HEADERS)))
        raw.writer.write(frame(frames.PING, 0, 0, bytes(8)))
        await raw.until(frames.PING, 0)
        assert await ask(channel, "Echo", b"x") == b"x"
        assert b"\x0bgrpc-status\x018" in (await raw.until(frames.HEADERS, 1))[3], "the oldest gave its place"
        raw.say(3, b"", ended=True)
        assert (await raw.until(frames.DATA, 3))[3] == bytes(5)
        raw.close()


async def test_attack_12_connections_without_a_word_end_by_themselves():
    async with running(greeting=1) as found:
        context = ssl_root_context(CA.root_pem)
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("localhost", found.port, ssl=context)
        assert len(await FrameClient(reader, writer).ended()) > 0
        writer.transport.abort()


async def test_who_is_silent_is_asked_and_stays_while_he_answers():
    async with running(ping_after=1, gone_after=6) as found, found.channel() as channel:
        deaf = channel.stream_stream("/t/Deaf")()
        raw = await found.raw()
        assert (await raw.until(frames.PING, 0))[3] == b"meshcore"
        await raw.ended()
        found.methods.go_on.set()
        assert await deaf.code() is grpc.StatusCode.OK
        raw.close()


async def test_more_connections_and_calls_than_allowed_are_refused():
    async with running(connections=2, calls=1) as found, found.channel() as one, found.channel() as two:
        async with tasks.background(ask(one, "Wait"), name="waits") as waits:
            await found.methods.waiting.wait()
            assert await refusal(two, "Echo") == ("RESOURCE_EXHAUSTED", "too many calls at once")
            async with found.channel() as three:
                assert (await refusal(three, "Echo", timeout=5))[0] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
            found.methods.go_on.set()
            assert await waits == b""
        assert await ask(two, "Echo", b"x") == b"x"
