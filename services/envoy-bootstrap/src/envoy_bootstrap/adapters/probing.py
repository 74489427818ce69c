"""Asks an application whether it is well, in each of Kubernetes' ways."""

import asyncio
import contextlib
import os
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc.aio
import h11
from meshcore.runtime import tasks

from envoy_bootstrap.adapters.http_get import exchange
from envoy_bootstrap.core.probes import Action, Command, Grpc, HttpGet, TcpSocket

_MAX_BODY = 10 << 10
_MAX_REDIRECTS = 10
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = 1

Headers = Sequence[tuple[str, str]]


async def is_well(action: Action, timeout: float, *, source: str | None = None) -> bool:
    """Whether the application says so in time."""
    try:
        return 200 <= await answer(action, timeout, source=source) < 400
    except TimeoutError:
        return False


async def answer(
    action: Action, timeout: float, *, source: str | None = None, headers: Headers = (), authority: str = ""
) -> int:
    """An HTTP status: the application's own, or 200 and 500 where it knows none. TimeoutError after `timeout` seconds.

    `source` is the address to connect from; `headers` and `authority` are those of who asks.
    """
    async with asyncio.timeout(timeout):
        try:
            if isinstance(action, HttpGet):
                return await _http(action, source, [*headers, *action.headers], authority)
            if isinstance(action, Command):
                return 200 if await _command(action) else 500
            if isinstance(action, Grpc):
                return 200 if await _grpc(action, source) else 500
            _, writer = await _connect(action, source)
            writer.close()
            return 200
        except (OSError, h11.ProtocolError, grpc.aio.AioRpcError):
            return 500


async def _connect(
    action: HttpGet | TcpSocket | Grpc, source: str | None, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    local = None if source is None else (source, 0)
    name = action.host if tls is not None else None
    return await asyncio.open_connection(action.host, action.port, ssl=tls, server_hostname=name, local_addr=local)


async def _http(action: HttpGet, source: str | None, headers: Headers, authority: str) -> int:
    """Redirects are followed on the same host; one that leads elsewhere is an answer, as kubelet takes it for."""
    tls = ssl.create_default_context() if action.tls else None
    if tls is not None:
        # Whoever probes does not know the application's authority; kubelet does not look at it either.
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    target = action.path
    for _ in range(_MAX_REDIRECTS):
        reader, writer = await _connect(action, source, tls)
        try:
            host = authority or f"{action.host}:{action.port}"
            got = await exchange(reader, writer, "GET", target, host, _MAX_BODY, headers)
        finally:
            writer.close()
        location = urlsplit(got.location)
        if not 300 <= got.status < 400 or not got.location or location.netloc not in ("", authority):
            return got.status
        target = location.path + (f"?{location.query}" if location.query else "") or "/"
    return 500


async def _command(action: Command) -> bool:
    process = await asyncio.create_subprocess_exec(
        *action.arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            # with all that it has started: a command that hangs is begun anew each period
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _grpc(action: Grpc, source: str | None) -> bool:
    service = action.service.encode()
    request = b"\x0a" + _varint(len(service)) + service if service else b""
    async with _address(action, source) as address, grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(_HEALTH)
        response: bytes = await check(request)
    return response[:2] == bytes((0x08, _SERVING))


@contextlib.asynccontextmanager
async def _address(action: Grpc, source: str | None) -> AsyncIterator[str]:
    """Where gRPC's library finds the server. It cannot be told where to connect from, so a socket of ours does that."""
    if source is None:
        yield f"{action.host}:{action.port}"
        return

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await _connect(action, source)
            try:
                async with tasks.background(_copy(reader, back), name="grpc probe"):
                    await _copy(there, writer)
            finally:
                back.close()
        writer.close()

    with tempfile.TemporaryDirectory(prefix="mc-probe-") as folder:
        path = Path(folder) / "s"
        async with await asyncio.start_unix_server(relay, path):
            yield f"unix:{path}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))
