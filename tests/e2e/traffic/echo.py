"""The application behind every sidecar of the shared mesh: it answers with what it saw, and fails when it is told to.

    python echo.py NAME VERSION --host 127.1.1.2 --namespace default

Ports: 9080 HTTP/1.1 (a WebSocket upgrade too), 9090 gRPC, 9000 TCP that sends back what it gets, 9001 TCP that speaks
first, 9443 HTTP/1.1 over TLS with a certificate of its own; 9070 (HTTP/1.1) and 9071 (TCP) are for services that do
not say what they speak; nobody takes the connections of 9002, and its queue is full. The abstract Unix socket that is
named like the host's address takes HTTP/1.1 too.

Every answer names the workload and repeats the request. Query parameters make it fail: `status=503`, `delay=0.5` (in
seconds), `slow=1` (only the first try of one `x-call` is delayed), `quick=1` (the first is not), `fail=2` (the first
two get 503, or `status`), `reset=1` (the connection is cut), `only=NAME` (the other parameters count for that workload
alone). `set=NAME:VALUE` is a response header, and may come several times. CONNECT makes it a forward proxy, and so
does a POST to a host that is an address with the port of TCP.
gRPC's `envoy.service.auth.v3.Authorization/Check` is an authorizer: it refuses requests with "refuse" in their path or
body, and connections of bytes whose caller has proven no identity.
`/journal?calls=PREFIX` tells of the requests whose header `x-call` begins so; a mirror leaves its trace there.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import signal
import socket
import ssl
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HTTP, GRPC, TCP, SERVER_FIRST, TLS = 9080, 9090, 9000, 9001, 9443
UNSAID_HTTP, UNSAID_TCP = 9070, 9071
DEAF = 9002
CHECK = "/envoy.service.auth.v3.Authorization/Check"
KEPT_CALLS = 5000
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CERTIFICATE_NAMES = ("*.test", "localhost")


@dataclass
class Echo:
    """Who answers, and what came so far."""

    name: str
    version: str
    namespace: str
    journal: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """How many requests of each call came."""

    def note(self, call: str) -> int:
        """Counts one request of a call; how many of it came before."""
        before = self.journal.get(call, 0)
        self.journal[call] = before + 1
        while len(self.journal) > KEPT_CALLS:
            self.journal.popitem(last=False)
        return before

    def calls(self, prefix: str) -> dict[str, int]:
        """How many requests came of each call whose name begins so."""
        return {call: count for call, count in self.journal.items() if call.startswith(prefix)}

    def saw(self, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """What a request is answered with."""
        peer = headers.get("x-forwarded-client-cert", "")
        caller = next((part[4:] for part in peer.split(";") if part.startswith("URI=")), "")
        who = {"workload": self.name, "version": self.version, "namespace": self.namespace}
        return who | {"caller": caller, "headers": dict(headers)} | more


@dataclass(frozen=True)
class Request:
    """One HTTP/1.1 request."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


async def read_head(reader: asyncio.StreamReader) -> Request:
    """The next request without its body. Raises IncompleteReadError at the end of the connection, ValueError on what is
    no HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    method, target, _ = head[0].split(" ", 2)
    return Request(method, target, headers)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:size]
    await reader.readuntil(b"\r\n")


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """What comes after that head."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join([chunk async for chunk in _chunks(reader)])
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(65536):
        yield data


async def _relay(pieces: AsyncIterator[bytes], writer: asyncio.StreamWriter, *, in_chunks: bool = False) -> None:
    """Bytes from one side to the other until the first ends."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async for data in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data) if in_chunks else data)
            await writer.drain()
    writer.close()


class HttpConnection:
    """One HTTP/1.1 connection of the echo."""

    def __init__(self, echo: Echo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._echo, self._reader, self._writer = echo, reader, writer
        self._requests = 0

    async def serve(self) -> None:
        """Answers request after request until either side ends the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            while await self._one(await read_head(self._reader)):
                await self._writer.drain()
        self._writer.close()

    async def _one(self, request: Request) -> bool:
        if request.method == "CONNECT":
            return await self._tunnel(request.target)
        if request.method == "POST" and request.headers.get("host", "").endswith(f":{TCP}"):
            return await self._tunnel(request.headers["host"], by_post=True)
        request = replace(request, body=await read_body(self._reader, request.headers))
        self._requests += 1
        path, query = urlsplit(request.target).path, request.query
        if path == "/healthz":
            return self._answer(200, {"status": "ok"})
        if path == "/journal":
            return self._answer(200, {"calls": self._echo.calls(query["calls"][0])})
        tls = self._writer.get_extra_info("ssl_object")
        seen = self._echo.saw(
            request.headers,
            method=request.method,
            path=request.target,
            host=request.headers.get("host", ""),
            body=request.body.decode("utf-8", "replace"),
            protocol="http/1.1",
            sni=getattr(tls, "server_name_seen", "") if tls else "",
            tls=tls is not None,
            nth=self._requests,
        )
        before = self._echo.note(request.headers.get("x-call", ""))
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        orders = {name: values[0] for name, values in query.items()}
        if orders.get("only", self._echo.name) != self._echo.name:
            orders = {}
        if "delay" in orders and int(orders.get("quick", "0")) <= before < int(orders.get("slow", "1000000")):
            await asyncio.sleep(float(orders["delay"]))
        if "reset" in orders:
            self._writer.transport.abort()
            return False
        status = int(orders.get("status", "503" if "fail" in orders else "200"))
        if before >= int(orders.get("fail", "1000000")):
            status = 200
        extra = dict(item.split(":", 1) for item in query.get("set", ()))
        return self._answer(status, seen | {"tries": before + 1}, extra)

    def _answer(self, status: int, document: Mapping[str, Any], more: Mapping[str, str] | None = None) -> bool:
        body = json.dumps(document).encode()
        fields = {"content-type": "application/json", "content-length": str(len(body)), "x-workload": self._echo.name}
        fields |= dict(more or {})
        lines = [f"HTTP/1.1 {status} Echo", *(f"{name}: {value}" for name, value in fields.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        return True

    async def _tunnel(self, place: str, *, by_post: bool = False) -> bool:
        """What a forward proxy does: from now on the bytes are those of a connection to where it was asked for. After a
        POST they are its body and the answer's."""
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" if by_post else b"HTTP/1.1 200 OK\r\n\r\n"
        self._writer.write(head)
        there = _chunks(self._reader) if by_post else _pieces(self._reader)
        await asyncio.gather(_relay(there, writer), _relay(_pieces(reader), self._writer, in_chunks=by_post))
        return False

    async def _websocket(self, request: Request) -> bool:
        """Accepts the upgrade and sends every following byte back."""
        key = request.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        head += f"sec-websocket-accept: {accept}\r\nx-workload: {self._echo.name}\r\n\r\n"
        self._writer.write(head.encode())
        while data := await self._reader.read(65536):
            self._writer.write(data)
            await self._writer.drain()
        return False


class AnyMethod(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every unary gRPC method with the JSON of what it saw; metadata `x-grpc-status` asks for a failure."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo

    def service(self, handler_call_details: Any) -> Any:
        """The handler of any method."""

        async def answer(request: bytes, context: Any) -> bytes:
            if handler_call_details.method == CHECK:
                return checked(request)
            headers = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
            seen = self._echo.saw(headers, path=handler_call_details.method, protocol="grpc", body=request.decode())
            self._echo.note(headers.get("x-call", ""))
            who = (("x-workload", self._echo.name),)
            if wanted := int(headers.get("x-grpc-status", "0")):
                code = next(code for code in grpc.StatusCode if code.value[0] == wanted)
                await context.abort(code, "asked for", who)  # without a header before it, which would forbid a retry
            await context.send_initial_metadata(who)
            return json.dumps(seen).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


def checked(request: bytes) -> bytes:
    """The authorizer's answer to one question."""
    from envoy.service.auth.v3 import external_auth_pb2

    asked = external_auth_pb2.CheckRequest.FromString(request).attributes
    said = asked.request.http.path + asked.request.http.body
    is_request = bool(asked.request.http.method)
    refused = "refuse" in said if is_request else not asked.source.principal
    code = grpc.StatusCode.PERMISSION_DENIED.value[0] if refused else 0
    return bytes(external_auth_pb2.CheckResponse(status={"code": code}).SerializeToString())


def certificate(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A new self-signed certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(item) for item in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def tls_context() -> ssl.SSLContext:
    """Server TLS that remembers which name the client asked for."""

    def remember(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
        connection.server_name_seen = name or ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        chain, key = certificate(CERTIFICATE_NAMES)
        Path(file.name).write_bytes(key + chain)
        context.load_cert_chain(file.name)
    context.sni_callback = remember
    return context


@contextlib.contextmanager
def deaf_port(host: str) -> Iterator[None]:
    """A port whose queue of one is full: the system drops whoever comes, and they wait."""
    with socket.create_server((host, DEAF), backlog=0), socket.create_connection((host, DEAF)):
        yield


async def serve(echo: Echo, host: str) -> None:
    """Listens on every port until SIGTERM or SIGINT."""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HttpConnection(echo, reader, writer).serve()

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(echo.name.encode() + b" " + data)
                await writer.drain()
        writer.close()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(f"welcome to {echo.name}\n".encode())
            await writer.drain()
        await back(reader, writer)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [
        await asyncio.start_server(http, host, HTTP),
        await asyncio.start_server(http, host, UNSAID_HTTP),
        await asyncio.start_unix_server(http, f"\0{host}"),
        await asyncio.start_server(back, host, UNSAID_TCP),
        await asyncio.start_server(http, host, TLS, ssl=tls_context()),
        await asyncio.start_server(back, host, TCP),
        await asyncio.start_server(first, host, SERVER_FIRST),
    ]
    rpc = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
    rpc.add_generic_rpc_handlers((AnyMethod(echo),))
    rpc.add_insecure_port(f"{host}:{GRPC}")
    await rpc.start()
    sys.stdout.write(json.dumps({"message": "serving", "workload": echo.name, "address": host}) + "\n")
    sys.stdout.flush()
    with deaf_port(host):
        await stop.wait()
    for server in servers:
        server.close()
    await rpc.stop(0)


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(description="Answers with what it saw.")
    parser.add_argument("name")
    parser.add_argument("version")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--namespace", default="default")
    options = parser.parse_args()
    asyncio.run(serve(Echo(options.name, options.version, options.namespace), options.host))


if __name__ == "__main__":
    main()
