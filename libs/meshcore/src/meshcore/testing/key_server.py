"""The web server of issuers, for tests: each key of a mint is an issuer with a key set and OIDC discovery."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

DISCOVERY = "/.well-known/openid-configuration"
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class KeyServer:
    """`answers` are asked first: by path, and whatever a test wants to serve. `asked` counts requests by path."""

    url: str
    key_set: Callable[[str], str]
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str) -> Answer:
        """`/NAME` is the key set of that name; under it, its discovery document."""
        self.asked[path] += 1
        if path in self.answers:
            return self.answers[path]()
        name = path.removesuffix(DISCOVERY).strip("/")
        try:
            body = self.key_set(name)
        except KeyError:
            return 404, {}, b"no such issuer"
        if path.endswith(DISCOVERY):
            body = json.dumps({"issuer": f"{self.url}/{name}", "jwks_uri": f"{self.url}/{name}"})
        return 200, {"content-type": "application/json"}, body.encode()


@contextmanager
def key_server(key_set: Callable[[str], str], host: str = "127.0.0.1") -> Iterator[KeyServer]:
    """A server for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = serving.answer(self.path)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            """Nothing: what was asked is counted."""

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    serving = KeyServer(f"http://{host}:{server.server_address[1]}", key_set)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="keys")
    thread.start()
    try:
        yield serving
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
