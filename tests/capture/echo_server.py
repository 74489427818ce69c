"""The unchanged application of a pod: HTTP on 8080 and 8081 says what it was sent, TCP on 9000 speaks first, as it does
on 9100, which is never captured.

    python echo_server.py NAME
"""

import http.server
import json
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


def plain(address: str) -> str:
    """An IPv4 address that came to a socket of both families."""
    return address.removeprefix("::ffff:")


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = "host"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = {"workload": self.name, "headers": headers, "client": plain(self.client_address[0])}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Greeter(socketserver.StreamRequestHandler):
    name = "host"

    def handle(self) -> None:
        self.wfile.write(f"hello from {self.name} to {plain(self.client_address[0])}\n".encode())
        self.wfile.write(b"welcome " + self.rfile.readline())


class BothFamilies:
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()  # type: ignore[misc]


class TcpServer(BothFamilies, socketserver.ThreadingTCPServer):
    """Of streams."""


class HttpServer(BothFamilies, http.server.ThreadingHTTPServer):
    """Of requests."""


@contextmanager
def outside(server: HttpServer | TcpServer) -> Iterator[int]:
    """The port of a server on the host, which is outside the mesh."""
    with server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


if __name__ == "__main__":
    Echo.name = Greeter.name = sys.argv[1]
    servers = [TcpServer(("::", port), Greeter) for port in (9000, 9100)]
    servers += [HttpServer(("::", port), Echo) for port in (8080, 8081)]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()
