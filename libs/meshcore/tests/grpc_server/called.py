"""A server with methods for tests, and how they are called: by grpc's own client, and by one that keeps no rule."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator

import grpc
import pytest
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Bounds, Streaming, Unary, serving
from meshcore.testing import http2_client
from meshcore.testing.http2_client import FrameClient
from meshcore.tls import grpc_channel_credentials, grpc_root_credentials, ssl_root_context, ssl_server_context
from wires import CA, OWN

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
async def running(*, secure: bool = True, identity=OWN, certificates="optional", **limits) -> AsyncIterator[Running]:
    methods = Methods()
    context = ssl_server_context(identity, client_certificates=certificates) if secure else None
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


def on_either_loop(test):
    """Run a test on the event loop of the services, and on asyncio's own."""
    own = inspect.signature(test)
    run = inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY)

    @pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
    @functools.wraps(test)
    def running_on(*, run, **given):
        run(test(**given))

    running_on.__signature__ = own.replace(parameters=[*own.parameters.values(), run])
    return running_on
