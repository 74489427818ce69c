"""Rules that schemas carry: what a CRD's limits and CEL expressions would refuse."""

import pytest
from meshcore.errors import MeshError
from meshcore.model.load import parse_object
from meshcore.model.structural import broken_rules


def broken(kind, spec):
    parsed = parse_object(
        {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "one"}, "spec": spec}
    )
    return [str(violation) for violation in broken_rules(parsed)]


def test_an_object_within_all_limits_breaks_nothing():
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    assert broken("ServiceEntry", {"hosts": ["a.example.com"], "ports": [port]}) == []


def test_every_broken_rule_comes_at_once_with_its_path():
    port = {"number": 0, "name": "http"}
    found = broken(
        "ServiceEntry",
        {
            "hosts": ["*"],
            "ports": [port, port],
            "endpoints": [{"address": "unix:///run/", "ports": {"http": 1}}, {"labels": {"app": "a"}}],
            "workloadSelector": {"labels": {"app": "*"}},
        },
    )
    assert found == [
        "spec: only one of WorkloadSelector or Endpoints can be set",
        "spec.endpoints: NONE mode cannot set endpoints",
        "spec.hosts[0]: hostname cannot be wildcard",
        "spec.ports: two items have the same name",
        "spec.ports: port number cannot be duplicated",
        "spec.ports[0].number: port must be between 1-65535",
        "spec.ports[1].number: port must be between 1-65535",
        "spec.endpoints[0].ports: UDS may not include ports",
        "spec.endpoints[0].address: UDS may not be a dir",
        "spec.endpoints[1].address: Address is required",
        "spec.workloadSelector.labels[app]: wildcard is not supported in selector",
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("WorkloadEntry", {"address": "a" * 257}, "spec.address"),
        ("WorkloadEntry", {"address": "unix://run"}, "spec.address"),
        ("WorkloadEntry", {"address": "1.1.1.1", "ports": {"-": 1}}, "spec.ports"),
        ("WorkloadGroup", {"template": {}, "probe": {"tcpSocket": {"port": 0}}}, "spec.probe.tcpSocket.port"),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"retryBudget": {"percent": 101}}}, "percent"),
        ("DestinationRule", {"host": "a", "workloadSelector": {"matchLabels": {"": "x"}}}, "matchLabels"),
        ("Sidecar", {"ingress": [{"port": {}, "tls": {"credentialNames": []}}]}, "tls.credentialNames"),
    ],
)
def test_a_limit_is_found_where_it_stands(kind, spec, field):
    (found,) = broken(kind, spec)
    assert field in found


def test_a_duration_of_zero_is_refused_but_where_zero_means_something():
    pool = {"tcp": {"idleTimeout": "0s", "connectTimeout": "0s"}}
    found = broken("DestinationRule", {"host": "a", "trafficPolicy": {"connectionPool": pool}})
    assert found == ["spec.trafficPolicy.connectionPool.tcp.connectTimeout: must be a valid duration greater than 1ms"]


def test_a_null_is_an_absent_field_but_nothing_that_a_list_or_a_map_can_hold():
    assert broken("WorkloadEntry", {"address": "1.1.1.1", "labels": None}) == []
    match = {"headers": {"x-user": None}}
    document = {"http": [{"match": [match], "route": [{"destination": {"host": "a"}}]}]}
    with pytest.raises(MeshError) as refused:
        broken("VirtualService", document)
    assert refused.value.violations[0].field == "spec.http[0].match[0].headers[x-user]"
