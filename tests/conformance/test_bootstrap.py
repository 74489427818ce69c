"""The list of differences from Istio's bootstrap is exact: each one occurs, and any other is a failure.

The golden file is our own bootstrap with Istio's ways in the places where they are known to differ.
"""

import json

import pytest

from tests.conformance.__main__ import main
from tests.conformance.bootstrap_differences import EXPECTED, differences
from tests.conformance.sets.bootstrap import bootstrap_of

COMMON = {
    "instance_ips": ["10.0.0.1"],
    "pilot_san": ["pilot.example"],
    "outlier_log_path": "/dev/stdout",
    "envoy_prometheus_port": 15090,
    "envoy_status_port": 15021,
    "istio_version": "1",
}
CASE = {
    "name": "one",
    "golden": "golden.json",
    "proxyConfig": {
        "configPath": "/etc/istio/proxy",
        "controlPlaneAuthPolicy": "NONE",
        "envoyMetricsService": {"address": "metrics:9000", "tlsSettings": {"mode": "ISTIO_MUTUAL"}},
    },
}
PATTERNS = ("stats_config", "stats_matcher", "inclusion_list", "patterns")


def istios(ours):
    """A bootstrap as Istio's agent would write it."""
    made = json.loads(json.dumps(ours))
    node = made["node"]
    node["id"], node["cluster"], node["locality"] = "sidecar~1~a~b", "istio-proxy", {}
    metadata = node["metadata"]
    for name in ("NAME", "POD_NAME", "NAMESPACE", "SERVICE_ACCOUNT", "MESHCORE_AUDIT", "MESHCORE_EXTENSIONS"):
        del metadata[name]
    metadata["METADATA_DISCOVERY"] = "true"
    metadata["WORKLOAD_IDENTITY_SOCKET_FILE"] = "test.sock"
    metadata["PROXY_CONFIG"]["statusPort"] = 15020
    del metadata["PROXY_CONFIG"]["controlPlaneAuthPolicy"]
    made["bootstrap_extensions"].insert(0, {"name": "metadata_discovery", "typed_config": {"value": 1}})
    at(made, PATTERNS)[:] = [
        *({"prefix": name} for name in ("reporter=", "workload_discovery", "cluster_manager", "listener_manager")),
        *({"prefix": name} for name in ("server", "cluster.xds-grpc", "wasm", "component", "istio")),
        *({"suffix": name} for name in ("rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied")),
        {"safe_regex": {"regex": r"vhost\..*\.route\..*"}},
    ]
    port = {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}
    made["admin"]["address"] = port
    ads = made["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"]
    del ads["retry_policy"]
    clusters = {cluster["name"]: cluster for cluster in made["static_resources"]["clusters"]}
    for name in ("agent-audit", "agent-extensions"):
        made["static_resources"]["clusters"].remove(clusters[name])
    for name, address in (("prometheus_stats", port), ("sds-grpc", {"pipe": {"path": "./socket"}})):
        clusters[name]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = address
    del clusters["xds-grpc"]["outlier_detection"]
    tls = clusters["envoy_metrics_service"]["transport_socket"]["typed_config"]["common_tls_context"]
    source = tls["combined_validation_context"]["validation_context_sds_secret_config"]["sds_config"]
    source["api_config_source"]["api_type"] = "GRPC"
    made["cluster_manager"]["enable_deferred_cluster_creation"] = True
    return made


def at(value, path):
    for part in path:
        value = value[part]
    return value


def report(directory, golden, capsys):
    folder = directory / "bootstrap"
    folder.mkdir(exist_ok=True)
    (folder / "golden.json").write_text(json.dumps(golden))
    (folder / "expected.json").write_text(json.dumps({"common": COMMON, "cases": [CASE]}))
    code = main([str(directory), "-o", "json"])
    return code, json.loads(capsys.readouterr().out)[0]


@pytest.fixture
def golden():
    return istios(bootstrap_of({**COMMON, **CASE}))


def test_what_is_known_to_differ_may_and_each_of_it_does(golden, tmp_path, capsys):
    assert report(tmp_path, golden, capsys) == (
        0,
        {"set": "bootstrap", "passed": 1, "failed": 0, "notApplicable": 0, "reasons": {}, "failures": []},
    )
    found = list(differences(golden, bootstrap_of({**COMMON, **CASE})))
    idle = [expected.place for expected in EXPECTED if not any(expected.covers(*one) for one in found)]
    assert idle == []


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("node", "metadata", "INSTANCE_IPS"), "10.0.0.2", "node/metadata/INSTANCE_IPS: wanted 10.0.0.2, got 10.0.0.1"),
        (("node", "cluster"), "other", "node/cluster: wanted other"),
        (("static_resources", "clusters", 1, "connect_timeout"), "1s", "clusters/agent/connect_timeout: wanted 1s"),
        (
            ("dynamic_resources", "cds_config", "initial_fetch_timeout"),
            "9s",
            "initial_fetch_timeout: wanted 9s, got 0s",
        ),
        (PATTERNS, [], "prefix:cluster_manager/prefix: wanted (nothing), got cluster_manager"),
        (("tracing",), {"http": {"name": "zipkin"}}, "tracing/http/name: wanted zipkin, got (nothing)"),
        (("admin", "profile_path"), "/tmp/p", "admin/profile_path: wanted /tmp/p"),
    ],
)
def test_any_other_difference_fails_the_case(golden, tmp_path, capsys, path, value, complaint):
    at(golden, path[:-1])[path[-1]] = value
    code, result = report(tmp_path, golden, capsys)
    assert (code, result["failed"]) == (1, 1)
    assert complaint in result["failures"][0]["detail"]


def test_a_case_that_the_agent_refuses_has_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(CASE, "env", {"ISTIO_METAJSON_LABELS": "["})
    code, result = report(tmp_path, {}, capsys)
    assert code == 1
    assert "ISTIO_METAJSON_LABELS is not JSON" in result["failures"][0]["detail"]
