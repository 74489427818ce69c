"""Servers that proxies tell about their traffic: they keep what comes, as it came over the real protocols."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc


@dataclass(frozen=True)
class Told:
    """One HTTP request, or one message of a gRPC call; `path` is the method's for those. Names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Collector:
    """What came so far, and where it came to."""

    told: list[Told] = field(default_factory=list)
    port: int = 0

    def of(self, path: str) -> list[Told]:
        """What came to this path."""
        return [item for item in self.told if item.path == path]


@contextmanager
def http_collector() -> Iterator[Collector]:
    """Takes everything that is sent to it."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            if self.headers.get("transfer-encoding") == "chunked":
                body = b"".join(self._chunks())
            else:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.told.append(Told(self.path, headers, body))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "22")
            self.end_headers()
            self.wfile.write(b'{"rate_by_service":{}}')

        do_GET = do_POST = do_PUT = _take

        def _chunks(self) -> Iterator[bytes]:
            """The body, as Envoy sends it (RFC 9112 §7.1)."""
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # proxies keep their connections
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Anything(grpc.GenericRpcHandler):
    """Every method, with any number of messages, answered by one empty message."""

    def __init__(self, made: Collector) -> None:
        self._made = made

    def service(self, details: Any) -> Any:
        def take(messages: Iterator[bytes], context: Any) -> bytes:
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            for message in messages:
                self._made.told.append(Told(details.method, headers, message))
            return b""

        return grpc.stream_unary_rpc_method_handler(take)


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    """Takes everything that is sent to it."""
    made = Collector()
    # a proxy's stream of log entries has a thread to itself for as long as it lasts
    server = grpc.server(ThreadPoolExecutor(64), handlers=(_Anything(made),))
    made.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield made
    finally:
        server.stop(0).wait()


def collector_entry(http: int = 0, over_grpc: int = 0) -> dict[str, Any]:
    """`collector.test`: 9411 is the HTTP server's port, 4317 that of gRPC."""
    ports = (("http", 9411, "HTTP", http), ("grpc", 4317, "GRPC", over_grpc))
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "collector", "namespace": "default"},
        "spec": {
            "hosts": ["collector.test"],
            "ports": [
                {"number": number, "name": name, "protocol": protocol, "targetPort": target}
                for name, number, protocol, target in ports
                if target
            ],
            "resolution": "STATIC",
            "location": "MESH_EXTERNAL",
            "endpoints": [{"address": "127.0.0.1"}],
        },
    }
