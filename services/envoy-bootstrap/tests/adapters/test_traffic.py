"""Two workloads with real mTLS between their Envoys, while certificates are renewed and parts are away."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from meshcore.runtime import tasks
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
_SDS = {
    "resource_api_version": "V3",
    "api_config_source": {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
    },
}
_COMMON_TLS = {
    "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": _SDS}],
    "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": _SDS},
}


def _address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _manager(route: dict[str, Any]) -> dict[str, Any]:
    manager = {"@type": _MANAGER, "stat_prefix": "http", "http_filters": [_ROUTER], **route}
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}


def server_resources(make: Callable[..., Any], ip: str) -> dict[str, Any]:
    """An mTLS listener that answers by itself and shows the caller's certificate."""
    headers = [
        {"header": {"key": name, "value": value}}
        for name, value in (("x-serial", "%DOWNSTREAM_PEER_SERIAL%"), ("x-caller", "%DOWNSTREAM_PEER_URI_SAN%"))
    ]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": headers}
    hosts = {"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}}
    tls = {
        "@type": _TLS + "DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _COMMON_TLS,
    }
    chain = {**_manager(hosts), "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}}
    listener = {"name": f"{ip}_9080", "address": _address(ip, 9080), "filter_chains": [chain]}
    return {CLUSTER_TYPE: {}, LISTENER_TYPE: {listener["name"]: make(LISTENER_TYPE, listener)}}


def client_resources(make: Callable[..., Any], ip: str, server: str) -> dict[str, Any]:
    """A plain listener whose every tenth request opens a new mTLS connection to the server; LDS, RDS, CDS and EDS."""
    tls = {"@type": _TLS + "UpstreamTlsContext", "common_tls_context": _COMMON_TLS}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    protocol = {
        "@type": f"type.googleapis.com/{options}",
        "common_http_protocol_options": {"max_requests_per_connection": 10},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    ads = {"ads": {}, "resource_api_version": "V3"}
    cluster = {
        "name": "server",
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": ads},
        "typed_extension_protocol_options": {options: protocol},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }
    endpoints = {
        "cluster_name": "server",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(server, 9080)}}]}],
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "server"}}]
    route = {"name": "out", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    rds = {"rds": {"route_config_name": "out", "config_source": ads}}
    listener = {"name": f"{ip}_15002", "address": _address(ip, 15002), "filter_chains": [_manager(rds)]}
    return {
        CLUSTER_TYPE: {"server": make(CLUSTER_TYPE, cluster)},
        ENDPOINT_TYPE: {"server": make(ENDPOINT_TYPE, endpoints)},
        LISTENER_TYPE: {listener["name"]: make(LISTENER_TYPE, listener)},
        ROUTE_TYPE: {"out": make(ROUTE_TYPE, route)},
    }


class Traffic:
    """About 200 requests a second from one client; everything that is not a 200 is kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = 0
        self.failures: list[str] = []
        self.serials: set[str] = set()
        self.callers: set[str] = set()

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=30, verify=False) as client:
            while True:
                try:
                    response = await client.get(self.url)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                else:
                    if response.status_code != 200:
                        self.failures.append(f"{response.status_code} {response.text}")
                    self.answered += 1
                    self.serials.add(response.headers.get("x-serial", ""))
                    self.callers.add(response.headers.get("x-caller", ""))
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(traffic: Traffic) -> AsyncIterator[Traffic]:
    async with tasks.background(traffic.run(), name="traffic"):
        yield traffic


async def start_pair(mesh: Any, make: Callable[..., Any], **environment: str) -> tuple[Any, Any]:
    client_ip, server_ip = mesh.claim.address(11), mesh.claim.address(12)
    mesh.pilot.resources["client"] = client_resources(make, client_ip, server_ip)
    mesh.pilot.resources["server"] = server_resources(make, server_ip)
    return await asyncio.gather(
        mesh.start_ready("client", 1, **environment), mesh.start_ready("server", 2, **environment)
    )


async def test_certificates_are_renewed_under_traffic_without_a_failed_request(mesh: Any, make_resource: Any) -> None:
    client, server = await start_pair(mesh, make_resource, SECRET_TTL="16s", SECRET_GRACE_PERIOD_RATIO="0.9")
    with pytest.raises(httpx.TransportError):
        await server.get(9080)  # plain text: only a certificate is let in
    async with running(Traffic(f"http://{client.ip}:15002/")) as traffic:
        await mesh.until(lambda: len(traffic.serials) >= 4, "four certificates of the client in use")
        await mesh.until(lambda: "broken" in mesh.pilot.said["server"], "the agent's stream replaced")
        await mesh.until(lambda: traffic.answered > 200, "more requests than connections")
    assert traffic.failures == []
    assert traffic.callers == {"spiffe://cluster.local/ns/shop/sa/client"}
    assert len(mesh.citadel.tokens) == 2, "each workload uses its token once"
    assert mesh.pilot.envoy_streams == {"client": 1, "server": 1}, "a renewal does not touch Envoy's stream to Pilot"
    said = mesh.pilot.said["server"]
    assert said.count("opened") >= 2, "the agent's stream moves to the new certificate"
    assert said.index("opened", 1) < said.index("broken"), "the next stream is opened before the last one ends"
    assert "ended in good order" not in said, "which would de-register the workload"


async def test_the_last_good_pair_serves_while_citadel_is_away(mesh: Any, make_resource: Any) -> None:
    client, _ = await start_pair(mesh, make_resource, SECRET_TTL="20s", SECRET_GRACE_PERIOD_RATIO="0.9")
    await mesh.stop_citadel()
    async with running(Traffic(f"http://{client.ip}:15002/")) as traffic:
        await mesh.until(lambda: "certificate not renewed" in client.log.read_text(), "a renewal that failed")
        await mesh.start_citadel()
        await mesh.until(lambda: len(traffic.serials) >= 2, "a new certificate after Citadel's return")
    assert traffic.failures == []


async def test_a_killed_pilot_costs_nothing_and_its_return_is_noticed(mesh: Any, make_resource: Any) -> None:
    client, _ = await start_pair(mesh, make_resource)
    async with running(Traffic(f"http://{client.ip}:15002/")) as traffic:
        await mesh.stop_pilot()
        mesh.pilot.said["client"].clear()
        answered = traffic.answered
        await mesh.until(lambda: traffic.answered > answered + 100, "traffic without Pilot")
        await mesh.start_pilot()
        await mesh.until(lambda: {"opened", "healthy"} <= set(mesh.pilot.said["client"]), "the agent's return")
        await mesh.until(lambda: mesh.pilot.envoy_streams["client"] == 2, "Envoy's return")
    assert traffic.failures == []


async def test_a_workload_that_ends_keeps_what_came_last(mesh: Any, make_resource: Any) -> None:
    """Nothing has been at rest for two seconds: what is served after this start was kept at the end."""
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    client, _ = await start_pair(mesh, make_resource, STATE_KEY_FILE=str(key))
    await mesh.stop_pilot()
    client.process.terminate()
    assert await client.process.wait() == 0

    again = await mesh.start_workload("client", 1, STATE_KEY_FILE=str(key))
    await mesh.until(again.ready, "ready without Pilot")
    assert (await again.get(15002)).status_code == 200


async def test_with_the_control_plane_away_a_restarted_workload_serves_from_its_last_good_state(
    mesh: Any, make_resource: Any
) -> None:
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    client, _ = await start_pair(mesh, make_resource, STATE_KEY_FILE=str(key))
    await mesh.until(lambda: (client.state / "snapshot.sealed").exists(), "a snapshot")
    client.process.kill()
    await client.process.wait()
    await mesh.stop_pilot()
    await mesh.stop_citadel()

    stored = b"".join((client.state / name).read_bytes() for name in ("snapshot.sealed", "identity.sealed"))
    assert b"PRIVATE KEY" not in stored
    again = await mesh.start_workload("client", 1, STATE_KEY_FILE=str(key))
    await mesh.until(again.ready, "ready without the control plane")
    answer = await again.get(15002)
    assert answer.status_code == 200, answer.text
    assert mesh.pilot.envoy_streams["client"] == 1

    async with running(Traffic(f"http://{client.ip}:15002/")) as traffic:
        await mesh.start_pilot()
        await mesh.until(lambda: mesh.pilot.envoy_streams["client"] == 2, "the hand-back to Pilot")
    assert traffic.failures == []
    assert mesh.citadel.issued == 2, "the stored pair needed no Citadel"


async def test_a_workload_that_leaves_does_not_wait_for_idle_connections_of_callers_that_know(
    mesh: Any, make_resource: Any
) -> None:
    patient = {"terminationDrainDuration": "60s", "drainDuration": "60s"}
    client, server = await start_pair(mesh, make_resource, PROXY_CONFIG=json.dumps(patient))
    async with httpx.AsyncClient(timeout=30, verify=False) as caller:
        assert (await caller.get(f"http://{client.ip}:15002/")).status_code == 200
        assert await server.terminate() == 0
    await mesh.until(lambda: mesh.pilot.said["server"][-1] == "ended in good order", "the stream's end")
