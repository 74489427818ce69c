"""The status server's rules, asked without a network."""

from typing import Any

import pytest
from envoy_bootstrap.adapters.app_probe_route import AppProbeRoute
from envoy_bootstrap.adapters.merged_metrics import MergedMetrics
from envoy_bootstrap.adapters.status import StatusSources, status_app
from envoy_bootstrap.core.readiness import EnvoyReadiness
from meshcore.errors import ErrorCode, MeshError


class Calls:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def drain(self) -> None:
        self.done.append("drain")

    def quit(self) -> None:
        self.done.append("quit")


async def not_ready() -> EnvoyReadiness:
    return EnvoyReadiness(False, "workers have not yet started")


async def no_envoy() -> str:
    raise MeshError(ErrorCode.UNAVAILABLE, "Envoy is not running")


async def no_module(url: str, sha256: str) -> bytes:
    raise MeshError(ErrorCode.INVALID, f"{url} {sha256}")


async def ask(calls: Calls, method: str, path: str, client: tuple[str, int] | None) -> tuple[int, str]:
    page = MergedMetrics(no_envoy, [])
    probes = AppProbeRoute({}, 15020, None)
    sources = StatusSources(
        not_ready, page, probes, calls.drain, calls.quit, no_module, lambda: {"queued": 0}, lambda: {"a": ["10.0.0.1"]}
    )
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {"type": "http", "method": method, "path": path, "client": client, "query_string": query.encode()}
    await status_app(sources)(scope, None, send)
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("path", ["/quitquitquit", "/drain"])
@pytest.mark.parametrize("client", [("10.0.0.9", 40000), ("fd00::1", 40000), None])
async def test_attack_44_commands_are_refused_to_others(path: str, client: tuple[str, int] | None) -> None:
    calls = Calls()
    assert (await ask(calls, "POST", path, client))[0] == 403
    assert (await ask(calls, "GET", path, ("127.0.0.1", 40000)))[0] == 405
    assert calls.done == []


@pytest.mark.parametrize("client", [("127.0.0.1", 40000), ("::1", 40000)])
async def test_commands_from_this_machine_are_obeyed(client: tuple[str, int]) -> None:
    calls = Calls()
    assert await ask(calls, "POST", "/drain", client) == (200, "OK\n")
    assert await ask(calls, "POST", "/quitquitquit", client) == (200, "OK\n")
    assert calls.done == ["drain", "quit"]


async def test_wasm_modules_are_for_the_envoy_beside_the_agent() -> None:
    path = "/wasm?url=http%3A%2F%2Fm.example%2Fx&sha256=abc"
    assert (await ask(Calls(), "GET", path, ("10.0.0.9", 40000)))[0] == 403
    assert (await ask(Calls(), "POST", path, ("127.0.0.1", 40000)))[0] == 405
    assert await ask(Calls(), "GET", path, ("127.0.0.1", 40000)) == (400, "http://m.example/x abc\n")


async def test_what_is_open_to_everybody_says_no_more_than_needed() -> None:
    far = ("10.0.0.9", 40000)
    assert await ask(Calls(), "GET", "/healthz/ready", far) == (503, "workers have not yet started\n")
    status, text = await ask(Calls(), "GET", "/stats/prometheus", far)
    assert status == 200
    assert 'istio_agent_scrape_failures_total{type="envoy"}' in text
    for path in ("/", "/config_dump", "/stats", "/healthz/ready/.."):
        assert (await ask(Calls(), "GET", path, far))[0] == 404
    assert (await ask(Calls(), "POST", "/healthz/ready", far))[0] == 405


async def test_how_access_records_get_on_is_told_to_this_machine_only() -> None:
    assert await ask(Calls(), "GET", "/audit", ("127.0.0.1", 40000)) == (200, '{"queued": 0}\n')
    assert (await ask(Calls(), "GET", "/audit", ("10.0.0.9", 40000)))[0] == 403
    assert (await ask(Calls(), "POST", "/audit", ("127.0.0.1", 40000)))[0] == 405


async def test_attack_44_debug_pages_are_for_this_machine_only() -> None:
    local, far = ("127.0.0.1", 40000), ("10.0.0.9", 40000)
    assert await ask(Calls(), "GET", "/debug/ndsz", local) == (200, '{"a": ["10.0.0.1"]}\n')
    for path in ("/debug/ndsz", "/debug/pprof", "/debug/anything"):
        assert (await ask(Calls(), "GET", path, far))[0] == 403
    assert (await ask(Calls(), "GET", "/debug/pprof", local))[0] == 404
