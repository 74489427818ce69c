"""The server behind real TLS: calls and their ends."""

import asyncio
import contextlib
import weakref

import grpc
import pytest
from called import HEADERS, LARGEST, ask, refusal, running
from meshcore.grpc_server import Bounds, heads, served, server
from meshcore.grpc_server.service import Service
from meshcore.http2 import Code, frames
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode
from meshcore.runtime import tasks
from wires import CLIENT


async def test_calls_of_all_sizes_and_who_makes_them():
    async with running() as found:
        async with found.channel() as channel:
            for size in (0, 1, 60_000, LARGEST - 10):
                assert await ask(channel, "Echo", bytes(size)) == bytes(size)
            assert (await ask(channel, "Story", metadata=[("who", "me")])).startswith(b"me False 127.0.0.1:")
            same = await asyncio.gather(*(ask(channel, "Echo", bytes(50_000)) for _ in range(100)))
            assert {len(one) for one in same} == {50_000}
        async with found.channel(CLIENT) as channel:
            assert (await ask(channel, "Story", metadata=[("who", "I")])).startswith(b"I True 127.0.0.1:")


async def test_what_goes_wrong_has_a_code_and_words_and_ends_its_call_alone():
    async with running() as found, found.channel() as channel:
        assert await refusal(channel, "Fail", b"mesh") == ("INVALID_ARGUMENT", "100 % wrong: ü\n")
        assert await refusal(channel, "Fail") == ("UNKNOWN", "the call failed")
        assert await refusal(channel, "Fail", b"long") == ("INVALID_ARGUMENT", "\u20ac" * (heads.LONGEST_MESSAGE // 3))
        assert (await refusal(channel, "Lose"))[0] == "UNAVAILABLE", "what it waited for was cancelled"
        assert (await refusal(channel, "Nothing"))[0] == "UNIMPLEMENTED"
        assert (await refusal(channel, "Echo", bytes(LARGEST + 1)))[0] == "RESOURCE_EXHAUSTED"
        garbage = channel.unary_unary("/t/Echo")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await garbage(b"\xff\xff\xff", timeout=30)
        assert error.value.code() is grpc.StatusCode.INTERNAL
        assert await ask(channel, "Echo", b"still") == b"still"


async def test_messages_may_be_compressed_and_never_grow_beyond_the_bound():
    async with running() as found, found.channel() as channel:
        assert await ask(channel, "Echo", bytes(100_000), compression=grpc.Compression.Gzip) == bytes(100_000)
        code, _ = await refusal(channel, "Echo", bytes(5_000_000), compression=grpc.Compression.Gzip)
        assert code == "RESOURCE_EXHAUSTED"
        assert (await refusal(channel, "Echo", bytes(1000), compression=grpc.Compression.Deflate))[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plaintext"])
async def test_streams_carry_many_messages_both_ways(secure):
    async with running(secure=secure) as found, found.channel() as channel:
        stream = channel.stream_stream("/t/Talk")(timeout=30)
        for number in range(50):
            await stream.write(bytes([number]) * 40_000)
            assert await stream.read() == bytes([number]) * 40_000
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        lecture = channel.stream_stream("/t/Lecture")(timeout=30)
        assert [len(message) async for message in lecture] == [64 * 1024] * 64
        late = channel.stream_stream("/t/LateRefusal")(timeout=30)
        assert await late.read() == b"one"
        assert await late.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await late.details() == "no more"


async def test_a_call_that_is_given_up_or_takes_too_long_is_given_up_here_too():
    async with running() as found, found.channel() as channel:
        waits = channel.unary_unary("/t/Wait")(b"")
        await found.methods.waiting.wait()
        waits.cancel()
        await found.methods.given_up.wait()
        found.methods.given_up.clear()
        raw = await found.raw()
        raw.call(1, "/t/Wait", headers=(("grpc-timeout", "10m"),))
        _, _, _, block = await raw.until(frames.HEADERS, 1)
        assert b"\x0bgrpc-status\x014" in block
        await found.methods.given_up.wait()
        raw.close()


async def test_a_stop_lets_calls_finish_and_then_ends_what_is_left():
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(running(grace=0.2))
        channel = found.channel()
        deaf = channel.stream_stream("/t/Deaf")()
        assert await ask(channel, "Echo", b"x") == b"x"
        await stack.aclose()
        assert await deaf.code() is grpc.StatusCode.UNAVAILABLE
        await channel.close()


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plaintext"])
async def test_a_stop_tells_clients_to_go_and_why_their_streams_end(secure):
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(running(secure=secure, grace=0))
        raw = await found.raw()
        raw.call(1, "/t/Talk", b"x", ended=False)
        await raw.until(frames.DATA, 1)
        await stack.aclose()
        assert (await raw.until(frames.GOAWAY, 0))[3][4:8] == Code.NO_ERROR.to_bytes(4)
        assert b"\x0bgrpc-status\x0214" in (await raw.until(frames.HEADERS, 1))[3]
        raw.close()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        (("192.0.2.1", 4711), "192.0.2.1:4711"),
        (("2001:db8::1", 4711, 0, 0), "[2001:db8::1]:4711"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_addresses_of_clients(remote, address):
    assert served.address_of(remote) == address


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({":method": "GET"}, b"415"),
        ({"content-type": "text/html"}, b"415"),
        ({"grpc-timeout": "soon"}, b"\x0bgrpc-status\x0213"),
        ({"grpc-encoding": "zstd"}, b"\x0bgrpc-status\x0212"),
    ],
)
async def test_headers_that_ask_for_what_is_not_served(change, answer):
    async with running() as found:
        raw = await found.raw()
        fields = dict(HEADERS) | change
        raw.writer.write(frame(frames.HEADERS, frames.END_HEADERS | 1, 1, encode(tuple(fields.items()))))
        _, flags, _, block = await raw.until(frames.HEADERS, 1)
        assert answer in block
        assert flags & frames.END_STREAM
        raw.close()


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS[1:],
        (*HEADERS, (":path", "/t/Echo")),
        (*HEADERS[:3], ("x", "y"), HEADERS[3]),
        (*HEADERS, ("Upper", "case")),
        (*HEADERS, ("connection", "close")),
        (*HEADERS, (":odd", "x")),
        (*HEADERS, ("x", "a\nb")),
        (*HEADERS, ("x", "a\rb")),
    ],
)
async def test_headers_that_are_no_request_reset_their_stream(headers):
    async with running() as found:
        raw = await found.raw()
        raw.writer.write(frame(frames.HEADERS, frames.END_HEADERS | 1, 1, encode(headers)))
        assert (await raw.until(frames.RST_STREAM, 1))[3] == Code.PROTOCOL_ERROR.to_bytes(4)
        raw.call(3, "/t/Echo")
        assert (await raw.until(frames.DATA, 3))[3] == bytes(5)
        raw.close()


async def test_a_call_of_no_message_of_two_or_of_part_of_one_is_refused():
    async with running() as found:
        raw = await found.raw()
        for stream, content in ((1, b""), (3, bytes(10)), (5, bytes(3)), (7, b"\0\0\0\0\x09x"), (9, b"\x01\0\0\0\0")):
            raw.writer.write(frame(frames.HEADERS, frames.END_HEADERS, stream, encode(HEADERS)))
            raw.writer.write(frame(frames.DATA, frames.END_STREAM, stream, content))
            assert b"\x0bgrpc-status\x0213" in (await raw.until(frames.HEADERS, stream))[3]
        raw.close()


async def test_what_was_cut_for_many_and_nobody_asks_for_is_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(server, "FORGETTING", 1)
    service = Service({}, Bounds(message=LARGEST))
    kept = weakref.ref(service.cuts.of(1, (b"", bytes(LARGEST))))
    assert kept() is not None
    async with tasks.background(server._keep_time(service), name="clock"), asyncio.timeout(60):
        while kept() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert service.cuts.of(1, (b"", b"x")) is not None
