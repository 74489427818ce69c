"""Access records of a real Envoy on their way to Citadel."""

import json
from collections.abc import Callable
from typing import Any

import grpc
from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.xds.types import LISTENER_TYPE

_TYPES = "type.googleapis.com/envoy.extensions"
_DENY_ADMIN = {
    "name": "envoy.filters.http.rbac",
    "typed_config": {
        "@type": f"{_TYPES}.filters.http.rbac.v3.RBAC",
        "rules": {
            "action": "DENY",
            "policies": {
                "ns[shop]-policy[closed]-rule[0]": {
                    "permissions": [{"url_path": {"path": {"prefix": "/admin"}}}],
                    "principals": [{"any": True}],
                }
            },
        },
    },
}
_ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
_PORT = 9080


def listener(ip: str) -> dict[str, Any]:
    """Answers by itself, refuses /admin, and logs every request to the agent."""
    common = {
        "log_name": "audit",
        "transport_api_version": "V3",
        "buffer_flush_interval": "0.05s",
        "grpc_service": {"envoy_grpc": {"cluster_name": "agent-audit"}},
    }
    log = {"@type": f"{_TYPES}.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", "common_config": common}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [{"name": "envoy.access_loggers.http_grpc", "typed_config": log}],
        "http_filters": [_DENY_ADMIN, _ROUTER],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": ip, "port_value": _PORT}}
    return {"name": "in", "address": address, "filter_chains": [{"filters": filters}]}


async def start(mesh: Any, make_resource: Callable[..., Any], **environment: str) -> Any:
    made = make_resource(LISTENER_TYPE, listener(mesh.claim.address(11)))
    mesh.pilot.resources["front"] = {LISTENER_TYPE: {"in": made}}
    return await mesh.start_ready("front", 1, **environment)


async def status(workload: Any) -> dict[str, Any]:
    return json.loads((await workload.get(15020, "/audit")).text)


async def until_told(mesh: Any, workload: Any, **wanted: Any) -> None:
    """Citadel has a batch before the agent has heard so."""

    async def told() -> bool:
        return wanted.items() <= (await status(workload)).items()

    await mesh.until(told, f"the agent says {wanted}")


async def test_records_reach_citadel_without_what_may_be_secret(mesh: Any, make_resource: Callable[..., Any]) -> None:
    workload = await start(mesh, make_resource)
    assert (await workload.get(_PORT, "/admin?token=secret", headers={"x-secret": "secret"})).status_code == 403
    assert (await workload.get(_PORT, "/open")).status_code == 200
    await mesh.until(lambda: len(mesh.audit.records) == 2, "two records")

    denied, allowed = sorted(mesh.audit.records, key=lambda record: record.path)
    assert (denied.verdict, denied.path, denied.response_code) == (audit_pb2.DENIED, "/admin", 403)
    assert (denied.policy.namespace, denied.policy.name, denied.policy.rule) == ("shop", "closed", 0)
    assert (allowed.verdict, allowed.path, allowed.destination) == (audit_pb2.ALLOWED, "/open", f"{workload.ip}:9080")
    assert {batch.node_id.split("~")[2] for batch in mesh.audit.batches.values()} == {"front.shop"}
    assert "secret" not in str(mesh.audit.records)
    await until_told(mesh, workload, queued=0, sent=2)
    assert await status(workload) == {"queued": 0, "limit": 4096, "sent": 2, "dropped": 0, "failure": ""}
    text = (await workload.get(15020, "/stats/prometheus")).text
    assert "istio_agent_audit_records_sent_total 2.0" in text
    assert 'istio_agent_audit_records_dropped_total{reason="queue-full"} 0.0' in text
    assert "envoy_access_logs_grpc_access_log_logs_written{} 2" in text  # logs_dropped is shown once there are any


async def test_traffic_flows_while_citadel_is_away_and_what_found_no_room_is_counted(
    mesh: Any, make_resource: Callable[..., Any]
) -> None:
    workload = await start(mesh, make_resource, MESHCORE_AUDIT_QUEUE="5")
    await mesh.stop_citadel()
    for number in range(12):
        assert (await workload.get(_PORT, f"/{number:02}")).status_code == 200

    async def all_seen() -> bool:
        said = await status(workload)
        return bool(said["queued"] + said["dropped"] == 12 and said["failure"])

    await mesh.until(all_seen, "every record queued or dropped")
    said = await status(workload)
    assert (said["queued"], said["limit"], said["dropped"], said["sent"]) == (5, 5, 7, 0)
    await mesh.start_citadel()
    await mesh.until(lambda: mesh.audit.lost == 7, "the loss told")
    assert [record.path for record in mesh.audit.records] == [f"/{number:02}" for number in range(5)]
    await until_told(mesh, workload, failure="", queued=0)
    assert workload.log.read_text().count("citadel does not take access records") == 1


async def test_a_batch_keeps_its_name_and_one_that_is_never_taken_is_a_loss(
    mesh: Any, make_resource: Callable[..., Any]
) -> None:
    workload = await start(mesh, make_resource)
    mesh.audit.failures += [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE]
    await workload.get(_PORT, "/again")
    await mesh.until(lambda: len(mesh.audit.records) == 1, "the record of the third try")
    assert len(mesh.audit.sent) == 3
    assert len(set(mesh.audit.sent)) == 1
    mesh.audit.failures.append(grpc.StatusCode.PERMISSION_DENIED)
    await workload.get(_PORT, "/refused")
    await mesh.until(lambda: mesh.audit.lost == 1, "the loss told")
    assert [record.path for record in mesh.audit.records] == ["/again"]
    assert (await status(workload))["dropped"] == 1


async def test_a_workload_that_leaves_says_what_it_has(mesh: Any, make_resource: Callable[..., Any]) -> None:
    workload = await start(mesh, make_resource)
    assert (await workload.get(_PORT, "/last")).status_code == 200
    assert await workload.terminate() == 0
    assert [record.path for record in mesh.audit.records] == ["/last"]
