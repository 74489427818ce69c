"""One workload behind a real Envoy with authorization policies, without a mesh around it: callers bring no certificate.

The application says which request reached it, so that what a policy let in can be held against what it meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from envoy_bootstrap.core.runtime_layers import layered_runtime
from meshcore.http2 import frames
from meshcore.http2.hpack import Decoder, encode
from meshcore.model.load import load_yaml_documents, parse_object
from meshcore.testing.addresses import Claim
from meshcore.testing.envoy import TestEnvoy, running_envoy
from meshcore.testing.http2_client import FrameClient
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

HTTP, UNSAID, TCP, JUDGE = 9080, 9070, 9000, 8000
REFUSED = 403
_WITHIN = 60.0
_MESH = """
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 9080}, {name: any, port: 9070}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: judge, namespace: shop}
spec: {selector: {app: judge}, ports: [{name: http, port: 8000}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: judge, namespace: shop}
spec: {address: JUDGE, labels: {app: judge}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: none, namespace: shop}
spec: {mtls: {mode: DISABLE}}
"""


def policy(rules: str, action: str = "DENY", name: str = "p", more: str = "") -> str:
    """One AuthorizationPolicy of the workload's namespace."""
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{action: {action}, rules: {rules}{more}}}
---
"""


@dataclass(frozen=True)
class Reply:
    """`status` is 0 when the connection was closed without an answer; `saw` is what reached the application."""

    status: int
    saw: Mapping[str, Any]
    head: str = ""


@dataclass(frozen=True)
class Door:
    """The address of the Envoy before the workload."""

    address: str
    envoy: TestEnvoy

    async def send(self, text: str, port: int = HTTP) -> Reply:
        """Bytes as they are on a connection of their own; the first answer on it."""
        return (await self.send_all(text, port))[0]

    async def send_all(self, text: str, port: int = HTTP) -> list[Reply]:
        """The same; every answer."""
        async with asyncio.timeout(_WITHIN):
            reader, writer = await asyncio.open_connection(self.address, port)
            writer.write(text.encode("latin-1"))
            received = b""
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65536):
                    received += part
            writer.close()
        return _replies(received) or [Reply(0, {})]

    async def ask(
        self, target: str = "/", *, method: str = "GET", host: str = "shop", headers: str = "", port: int = HTTP
    ) -> Reply:
        """One request, whatever its parts are; `headers` are lines that end with CRLF."""
        return await self.send(request(target, method=method, host=host, headers=headers), port)

    async def ask_http2(self, headers: tuple[tuple[str, str], ...], port: int = HTTP) -> int:
        """One request of exactly these headers, without a body; its status, 0 when it gets no answer."""
        client = await FrameClient.open(self.address, port, None)
        block = encode(headers)
        client.writer.write(frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
        decoder = Decoder(1 << 16)
        try:
            async with asyncio.timeout(_WITHIN):
                while True:
                    kind, _, stream, payload = await client.next()
                    if (kind, stream) == (frames.HEADERS, 1):
                        return int(dict(decoder.decode(payload))[":status"])
                    if kind in (frames.RST_STREAM, frames.GOAWAY):
                        return 0
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0
        finally:
            client.close()


def request(
    target: str = "/", *, method: str = "GET", host: str = "shop", headers: str = "", keep: bool = False
) -> str:
    """The bytes of a request without a body."""
    end = "" if keep else "Connection: close\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{end}\r\n"


@contextlib.asynccontextmanager
async def guarded(
    block: Claim, directory: Path, policies: str, mesh: Mapping[str, Any] | None = None, judge: Any = None
) -> AsyncIterator[Door]:
    """The workload with these policies (YAML), and the authorizer of CUSTOM ones if `judge` answers for it."""
    node = {
        "id": f"sidecar~{block.address(1)}~shop-1.shop~shop.svc.cluster.local",
        "metadata": {
            "NAMESPACE": "shop",
            "LABELS": {"app": "shop"},
            "INTERCEPTION_MODE": "NONE",
            "INSTANCE_IPS": block.address(1),
            "MESHCORE_APP_ADDRESS": block.address(2),
        },
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": yaml.safe_dump({"enableAutoMtls": False, **(mesh or {})})},
    }
    text = f"{_MESH.replace('JUDGE', block.address(3))}\n---\n{policies}"
    documents = [config, *(item.body for item in load_yaml_documents(text, "in"))]
    snapshot = MeshSnapshot.of([parse_object(item) for item in documents])
    resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection))
    bootstrap = {**as_bootstrap(resources, node), "layered_runtime": layered_runtime({})}
    async with contextlib.AsyncExitStack() as stack:
        for port in (HTTP, UNSAID):
            await stack.enter_async_context(await asyncio.start_server(_application, block.address(2), port))
        await stack.enter_async_context(await asyncio.start_server(_back, block.address(2), TCP))
        if judge is not None:
            await stack.enter_async_context(await asyncio.start_server(judge, block.address(3), JUDGE))
        envoy = await stack.enter_async_context(running_envoy(bootstrap, directory))
        await envoy.wait_live()
        yield Door(block.address(1), envoy)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def judge_with(answer: Callable[[str], bytes | None]) -> Serve:
    """An authorizer: `answer` gives the whole answer to a request's head, None to give none at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                said = answer(head)
                if said is None:
                    await reader.read()
                    break
                writer.write(said)
                await writer.drain()
        writer.close()

    return serve


async def _application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
            first, *lines = head.split("\r\n")[:-2]
            method, path, _ = first.split(" ")
            headers: dict[str, list[str]] = {}
            for line in lines:
                name, _, value = line.partition(":")
                headers.setdefault(name.lower(), []).append(value.strip())
            await reader.readexactly(int(headers.get("content-length", ["0"])[0]))
            if "chunked" in headers.get("transfer-encoding", []):
                await reader.readuntil(b"0\r\n\r\n")
            body = json.dumps({"method": method, "path": path, "headers": headers}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        if await reader.read(1):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            await writer.drain()
    writer.close()


def _replies(received: bytes) -> list[Reply]:
    found = []
    while received.startswith(b"HTTP/1."):
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        body, received = rest[:length], rest[length:]
        saw = json.loads(body) if body.startswith(b"{") else {}
        found.append(Reply(int(lines[0].split(" ")[1]), saw, head.decode("latin-1")))
    return found
