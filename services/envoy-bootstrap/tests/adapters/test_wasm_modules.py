"""Wasm modules from a real HTTP server: checked, kept, and refused when they are not what config names."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch
from envoy_bootstrap.adapters.wasm_modules import WasmModules
from meshcore.errors import ErrorCode, MeshError

MODULE = b"\0asm\1\0\0\0"
SHA256 = hashlib.sha256(MODULE).hexdigest()


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                moved = self.path == "/moved"
                self.send_response(302 if moved else 404 if self.path == "/gone" else 200)
                if moved:
                    self.send_header("location", "file:///etc/hostname")
                self.send_header("content-length", str(len(MODULE)))
                self.end_headers()
                self.wfile.write(MODULE)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.http.serve_forever)
    thread.start()
    yield running
    running.http.shutdown()
    thread.join()
    running.http.server_close()


async def test_a_module_is_fetched_once_and_kept(server: Server, tmp_path: Path) -> None:
    modules = WasmModules(tmp_path / "wasm", GuardedFetch())
    found = await asyncio.gather(*(modules.get(f"{server.url}/x", SHA256) for _ in range(3)))
    assert found == [MODULE] * 3
    assert await WasmModules(tmp_path / "wasm", GuardedFetch()).get(f"{server.url}/elsewhere", SHA256) == MODULE
    assert server.asked == ["/x"]


async def test_a_kept_module_that_was_changed_is_fetched_again(server: Server, tmp_path: Path) -> None:
    modules = WasmModules(tmp_path, GuardedFetch())
    await modules.get(f"{server.url}/x", SHA256)
    (tmp_path / SHA256).write_bytes(b"something else")
    assert await modules.get(f"{server.url}/x", SHA256) == MODULE
    assert server.asked == ["/x", "/x"]


@pytest.mark.parametrize(
    ("path", "sha256", "code", "words"),
    [
        ("/x", "0" * 64, ErrorCode.UNAVAILABLE, "has the SHA-256"),
        ("/gone", SHA256, ErrorCode.UNAVAILABLE, "cannot be fetched"),
        ("/moved", SHA256, ErrorCode.UNAVAILABLE, "cannot be fetched"),
        ("/x", "../../etc", ErrorCode.INVALID, "64 hexadecimal"),
    ],
)
async def test_what_is_not_the_module_is_not_given_out(
    server: Server, tmp_path: Path, path: str, sha256: str, code: ErrorCode, words: str
) -> None:
    with pytest.raises(MeshError, match=words) as refused:
        await WasmModules(tmp_path, GuardedFetch()).get(server.url + path, sha256)
    assert refused.value.code is code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x", ""])
async def test_only_the_web_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(MeshError, match="neither http nor https"):
        await WasmModules(tmp_path, GuardedFetch()).get(url, SHA256)
