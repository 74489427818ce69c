"""The server behind real TLS, asked by grpc's own client, and by one that keeps no rule."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Bounds, Streaming, Unary, heads, served, serving
from meshcore.http2 import Code, frames
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode
from meshcore.runtime import tasks
from meshcore.testing import http2_client
from meshcore.testing.http2_client import FrameClient
from meshcore.testing.identity import make_ca
from meshcore.tls import grpc_channel_credentials, grpc_root_credentials, ssl_root_context, ssl_server_context

CA = make_ca()
OWN = CA.issue("spiffe://cluster.local/ns/a/sa/server")
CLIENT = CA.issue("spiffe://cluster.local/ns/a/sa/client")
LARGEST = 256 * 1024
HEADERS = tuple((name, "/t/Echo" if name == ":path" else value) for name, value in http2_client.HEADERS)


class Methods:
    """What the tests call."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.given_up = asyncio.Event()
        self.go_on = asyncio.Event()
        self.waiting = asyncio.Event()
        self.written = 0

    async def echo(self, request, call):
        self.begun.append(dict(call.metadata).get("who", ""))
        return request

    async def whole_story(self, request, call):
        serials = [one.serial_number for one in call.peer.chain]
        fields = dict(call.metadata)
        return BytesValue(value=f"{fields.get('who')} {bool(serials)} {call.peer.address}".encode())

    async def fail(self, request, call):
        if request.value == b"mesh":
            raise MeshError(ErrorCode.INVALID, "100 % wrong: ü\n")
        if request.value == b"long":
            raise MeshError(ErrorCode.INVALID, "\u20ac" * 10_000)
        raise RuntimeError("a secret that is nobody's business")

    async def wait(self, request, call):
        self.waiting.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return request

    async def talk(self, call):
        while (message := await call.read()) is not None:
            await call.write(message)

    async def lecture(self, call):
        try:
            for _ in range(64):
                await call.write(bytes(64 * 1024))
                self.written += 1
        except asyncio.CancelledError:
            self.given_up.set()
            raise

    async def deaf(self, call):
        await self.go_on.wait()

    async def guarded(self, call):
        await self.go_on.wait()
        call.welcome()
        await call.read()
        await call.write(await call.read())

    async def lose(self, request, call):
        raise asyncio.CancelledError

    async def late_refusal(self, call):
        await call.write(b"one")
        raise MeshError(ErrorCode.PERMISSION_DENIED, "no more")

    @property
    def handlers(self):
        parse = BytesValue.FromString
        return {
            "/t/Echo": Unary(parse, self.echo),
            "/t/Story": Unary(parse, self.whole_story),
            "/t/Fail": Unary(parse, self.fail),
            "/t/Wait": Unary(parse, self.wait),
            "/t/Lose": Unary(parse, self.lose),
            "/t/Talk": Streaming(self.talk),
            "/t/Lecture": Streaming(self.lecture),
            "/t/Deaf": Streaming(self.deaf),
            "/t/Guarded": Streaming(self.guarded, guarded=True),
            "/t/LateRefusal": Streaming(self.late_refusal),
        }


class Running:
    def __init__(self, methods: Methods, port: int, *, secure: bool) -> None:
        self.methods = methods
        self.port = port
        self.secure = secure

    def channel(self, identity=None, **options):
        credentials = grpc_root_credentials(CA.root_pem) if identity is None else grpc_channel_credentials(identity)
        listed = [("grpc.use_local_subchannel_pool", 1), *options.items()]
        if not self.secure:
            return grpc.aio.insecure_channel(f"localhost:{self.port}", options=listed)
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options=listed)

    async def raw(self, settings: dict[int, int] | None = None) -> FrameClient:
        context = ssl_root_context(CA.root_pem) if self.secure else None
        return await FrameClient.open("localhost", self.port, context, settings)


@contextlib.asynccontextmanager
async def running(*, secure: bool = True, **limits) -> AsyncIterator[Running]:
    methods = Methods()
    context = ssl_server_context(OWN, client_certificates="optional") if secure else None
    handlers = methods.handlers
    async with (
        asyncio.timeout(60),
        serving(handlers, "localhost", 0, context, Bounds(message=LARGEST, **limits)) as port,
    ):
        yield Running(methods, port, secure=secure)


async def ask(channel, method: str, value: bytes = b"", **how):
    call = channel.unary_unary(
        f"/t/{method}", request_serializer=BytesValue.SerializeToString, response_deserializer=BytesValue.FromString
    )
    return (await call(BytesValue(value=value), timeout=how.pop("timeout", 30), **how)).value


async def refusal(channel, method: str, value: bytes = b"", **how) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(channel, method, value, **how)
    return error.value.code().name, error.value.details()


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
