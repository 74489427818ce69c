"""Kubelet's probes through the agent, to applications of every kind."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy_bootstrap.adapters import app_health
from envoy_bootstrap.adapters.app_probe_route import AppProbeRoute, uncaptured_source
from envoy_bootstrap.adapters.probing import is_well
from envoy_bootstrap.core.probes import (
    AppProbes,
    Command,
    Grpc,
    HttpGet,
    ReadinessProbe,
    TcpSocket,
    parse_app_probes,
)
from meshcore.runtime import tasks
from meshcore.testing import addresses
from meshcore.testing.identity import make_ca
from meshcore.testing.processes import is_running

PROBERS = {
    "/app-health/web/livez": {"httpGet": {"port": 8080, "path": "/live"}},
    "/app-health/web/readyz": {"httpGet": {"port": 8080, "path": "/moved"}},
    "/app-health/web/startupz": {"tcpSocket": {"port": 8080}},
    "/app-health/away/livez": {"tcpSocket": {"port": 8081}},
    "/app-health/slow/livez": {"httpGet": {"port": 8080, "path": "/slow"}, "timeoutSeconds": 0.2},
    "/app-health/far/livez": {"httpGet": {"port": 8080, "path": "/far"}},
    "/app-health/loop/livez": {"httpGet": {"port": 8080, "path": "/loop"}},
    "/app-health/bad/livez": {"httpGet": {"port": 8080, "path": "/bad"}},
    "/app-health/rpc/livez": {"grpc": {"port": 8082, "service": "good"}},
    "/app-health/rpc/readyz": {"grpc": {"port": 8082, "service": "bad"}},
    "/app-lifecycle/web/prestopz": {"httpGet": {"port": 8080, "path": "/live"}},
}


class App:
    """Answers by path, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.peers: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.add(writer.get_extra_info("peername")[0])
        with contextlib.suppress(asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(request)
            path = request.split()[1]
            status, headers = {
                "/live": ("200 OK", ""),
                "/moved": ("302 Found", "Location: /live\r\n"),
                "/far": ("302 Found", "Location: http://other.example/\r\n"),
                "/loop": ("302 Found", "Location: /loop\r\n"),
                "/slow": ("", ""),
            }.get(path, ("503 No", ""))
            if not status:
                await reader.read()
            writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: 20000\r\n\r\n{'x' * 20000}".encode())
        writer.close()


@contextlib.asynccontextmanager
async def application(host: str) -> AsyncIterator[App]:
    app = App()

    async def check(request: bytes, context: Any) -> bytes:
        return b"\x08\x01" if request.endswith(b"good") else b"\x08\x02"

    handler = grpc.unary_unary_rpc_method_handler(check)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    server.add_insecure_port(f"{host}:8082")
    await server.start()
    try:
        async with await asyncio.start_server(app.serve, host, 8080):
            yield app
    finally:
        await server.stop(None)


def probes(host: str) -> AppProbes:
    """Those that say nothing of their time have enough of it on any machine."""
    return parse_app_probes({path: {"timeoutSeconds": 10} | probe for path, probe in PROBERS.items()}, host)


async def ask(route: AppProbeRoute, path: str, **headers: str) -> int:
    given = [(name.encode(), value.encode()) for name, value in {"host": "10.0.0.1:15020", **headers}.items()]
    status, _ = await route.answer({"path": path, "headers": given})
    return status


async def test_each_probe_is_answered_as_the_application_answers_it() -> None:
    with addresses.claim() as claim:
        host = claim.address(101)
        route = AppProbeRoute(probes(host), 15020, "127.0.0.6")
        async with application(host) as app:
            got = {path: await ask(route, path, **{"x-probe": "1", "content-length": "5"}) for path in PROBERS}
        assert got == {
            "/app-health/web/livez": 200,
            "/app-health/web/readyz": 200,
            "/app-health/web/startupz": 200,
            "/app-health/away/livez": 500,
            "/app-health/slow/livez": 504,
            "/app-health/far/livez": 302,
            "/app-health/loop/livez": 500,
            "/app-health/bad/livez": 503,
            "/app-health/rpc/livez": 200,
            "/app-health/rpc/readyz": 500,
            "/app-lifecycle/web/prestopz": 200,
        }
        assert app.peers == {"127.0.0.6"}, "what comes from there is not captured"
        assert "host: 10.0.0.1:8080\r\n" in app.asked[0].lower(), "the application's own port"
        assert "x-probe: 1\r\n" in app.asked[0]
        assert "content-length: 0\r\n" in app.asked[0].lower()


@pytest.mark.parametrize(
    "path",
    [
        "/app-health/web/livez/../../../quitquitquit",
        "/app-health/web/livez/",
        "/app-health/other/livez",
        "/app-health/../app-health/web/livez",
        "/app-health/127.0.0.1:15000/livez",
        "/app-healthz",
        "/app-lifecycle/web/poststartz",
    ],
)
async def test_attack_44_only_probes_that_are_configured_are_asked(path: str) -> None:
    with addresses.claim() as claim:
        async with application(claim.address(101)) as app:
            assert await ask(AppProbeRoute(probes(claim.address(101)), 15020, None), path) == 400
        assert app.asked == []


async def test_attack_44_who_asks_decides_neither_where_to_nor_what() -> None:
    with addresses.claim() as claim:
        async with application(claim.address(101)) as app:
            route = AppProbeRoute(probes(claim.address(101)), 15020, None)
            for host in ("169.254.169.254:80", "evil.example", "evil.example:15020", ""):
                assert await ask(route, "/app-health/web/livez", host=host) == 200
        assert len(app.asked) == 4
        assert all(request.startswith("GET /live HTTP/1.1") for request in app.asked)


async def test_a_probe_by_tls_does_not_look_at_the_certificate(tmp_path: Path) -> None:
    identity = make_ca().issue("spiffe://cluster.local/ns/other/sa/other")
    (tmp_path / "pair.pem").write_bytes(identity.key.pem + identity.chain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pair.pem")
    with addresses.claim() as claim:
        host, app = claim.address(101), App()
        async with await asyncio.start_server(app.serve, host, 8080, ssl=context):
            assert await is_well(HttpGet(host, 8080, "/live", tls=True), 30.0)
            assert not await is_well(HttpGet(host, 8080, "/bad", tls=True), 30.0)
            assert not await is_well(HttpGet(host, 8080, "/live"), 30.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def test_commands_are_judged_by_their_status_and_do_not_outlive_their_time(tmp_path: Path) -> None:
    assert await is_well(Command(("true",)), 30.0)
    assert not await is_well(Command(("false",)), 30.0)
    assert not await is_well(Command((str(tmp_path / "no-such-program"),)), 30.0)
    pids = tmp_path / "pids"
    hangs = Command(("sh", "-c", f"sleep 1000 & echo $$ $! > {pids}; wait"))
    looking = asyncio.create_task(is_well(hangs, 1000.0))
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    looking.cancel()
    await until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))
    assert not await is_well(Command(("sleep", "1000")), 0.2)


async def test_without_a_source_the_probe_comes_from_wherever_the_kernel_says() -> None:
    with addresses.claim() as claim:
        host = claim.address(101)
        async with application(host):
            assert await is_well(Grpc(host, 8082, "good"), 30.0)
            assert not await is_well(Grpc(host, 8082), 30.0)
            assert await is_well(TcpSocket(host, 8080), 30.0)


@pytest.mark.parametrize(
    ("action", "source"),
    [
        (HttpGet("10.0.0.7", 80), "127.0.0.6"),
        (TcpSocket("fd00::7", 80), "::6"),
        (TcpSocket("127.0.0.1", 80), None),
        (Grpc("10.0.0.8", 80), None),
        (Command(("true",)), None),
    ],
)
def test_only_the_workloads_own_address_is_dialled_from_where_nothing_is_captured(action: Any, source: Any) -> None:
    assert uncaptured_source(action, ["10.0.0.7", "fd00::7"]) == source
    assert uncaptured_source(action, []) is None


async def test_health_is_looked_at_from_where_nothing_is_captured() -> None:
    with addresses.claim() as claim:
        host, told = claim.address(101), asyncio.Queue[bool]()
        async with application(host) as app:
            probe = ReadinessProbe(HttpGet(host, 8080, "/live"), timeout=10.0)
            async with tasks.background(app_health.watch(probe, told.put, source="127.0.0.6"), name="health"):
                assert await told.get()
        assert app.peers == {"127.0.0.6"}


async def test_a_running_agent_answers_for_its_application_and_merges_its_pages(mesh: Any) -> None:
    app = mesh.claim.address(101)
    annotations = {"scrape": "true", "targets": [{"port": "9081", "path": "/a"}, {"port": "9082"}, {"port": "9083"}]}
    front = await mesh.start_ready(
        "front",
        1,
        ISTIO_META_MESHCORE_APP_ADDRESS=app,
        ISTIO_KUBE_APP_PROBERS=json.dumps(
            {"/app-health/web/livez": {"httpGet": {"port": 9081, "path": "/a"}, "timeoutSeconds": 20}}
        ),
        ISTIO_PROMETHEUS_ANNOTATIONS=json.dumps(annotations),
    )
    assert (await front.get(15020, "/app-health/web/livez")).status_code == 500

    def page(text: str) -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            with contextlib.suppress(ConnectionError):
                writer.write(head.encode() + text.encode())
                await writer.drain()
            writer.close()

        return answer

    large = "large_total 1\n" * (800 << 10)
    async with (
        await asyncio.start_server(page("one_total 1\n# EOF\n"), app, 9081),
        await asyncio.start_server(page("two_total 2\n"), app, 9082),
        await asyncio.start_server(page(large), app, 9083),
    ):
        assert (await front.get(15020, "/app-health/web/livez")).status_code == 200
        merged = (await front.get(15020, "/stats/prometheus")).text
    assert "one_total 1\n" in merged
    assert "two_total 2\n" in merged
    assert "large_total" not in merged, "more than 10 MiB"
    assert "# EOF" not in merged
    assert "envoy_server_live" in merged
    assert 'istio_agent_scrape_failures_total{type="application"} 1.0' in merged
