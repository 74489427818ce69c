"""Extensions that need something beside the mesh: a Wasm module on a web server, which the agent fetches for Envoy."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from mesh import Mesh, wait_until
from meshcore.testing.wasm_module import header_adding_module

MODULE = header_adding_module("x-module", "ran")
ECHO = "http://echo:9080/"


class Modules(BaseHTTPRequestHandler):
    """Gives out the one module."""

    def do_GET(self) -> None:
        """Whatever the path."""
        self.send_response(200)
        self.send_header("content-length", str(len(MODULE)))
        self.end_headers()
        self.wfile.write(MODULE)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def module_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Modules)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/filter.wasm"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(mesh: Mesh) -> httpx.Response:
    return httpx.get(ECHO, proxy=mesh.proxy("client"), trust_env=False, timeout=60)


def plugin(url: str, sha256: str, **more: Any) -> dict[str, Any]:
    spec = {"url": url, "sha256": sha256, "match": [{"mode": "SERVER"}], **more}
    metadata = {"name": "module", "namespace": "default"}
    return {"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": metadata, "spec": spec}


def test_a_wasm_module_is_fetched_by_the_agent_and_runs_in_the_servers_proxy(mesh: Mesh, module_url: str) -> None:
    mesh.apply(plugin(module_url, hashlib.sha256(MODULE).hexdigest()))
    try:
        wait_until("the module's header", lambda: ask(mesh).headers.get("x-module") == "ran")
    finally:
        mesh.delete(plugin(module_url, ""))
    wait_until("no header without the plugin", lambda: "x-module" not in ask(mesh).headers)


def test_a_module_that_is_not_the_one_that_was_named_does_not_run_and_fails_open_if_so_wished(
    mesh: Mesh, module_url: str
) -> None:
    mesh.apply(plugin(module_url, "0" * 64, failStrategy="FAIL_OPEN"))
    try:
        reply = ask(mesh)
        assert reply.status_code == 200, reply.text
        assert "x-module" not in reply.headers
    finally:
        mesh.delete(plugin(module_url, ""))
