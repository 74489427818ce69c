"""Config that is odd but valid: Pilot takes it, and Envoy takes what is made of it."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from meshcore.model import MeshConfig
from meshcore.model.virtual_service import HttpRetry
from meshcore.testing.envoy import validate
from meshcore.xds.types import CLUSTER_TYPE
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.compiler.jwt_claims import claim_path
from pilot.core.compiler.retry_policy import retry_policy
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NODE = {
    "id": "sidecar~10.1.0.9~client.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "client"},
}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: http, port: 9080}, {name: tcp-raw, port: 9000}]
"""


def taken(objects, text: str):
    snapshot = MeshSnapshot.of(objects(SERVICE + text))
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    validate(as_bootstrap(resources, NODE))
    return resources


def entry(name: str, port: str, more: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [db.example]
  ports: [{port}]
{more}
"""


def test_a_rule_that_names_a_network_twice_has_it_once(objects):
    taken(
        objects,
        """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [reviews]
  tcp:
  - match: [{destinationSubnets: [10.0.0.0/8, 10.0.0.0/8, 10.1.2.3/8, 10.1.2.3, 10.1.2.3/32]}]
    route: [{destination: {host: reviews}}]
""",
    )


def test_an_entry_that_names_a_network_twice_has_it_once(objects):
    taken(objects, entry("e", "{number: 9000, name: tcp, protocol: TCP}", "  addresses: [10.9.0.0/16, 10.9.1.0/16]"))


def test_a_hash_on_a_header_without_a_name_is_no_hash(objects):
    for key in ("httpHeaderName: ''", "httpQueryParameterName: ''"):
        taken(
            objects,
            f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: d, namespace: shop}}
spec: {{host: reviews, trafficPolicy: {{loadBalancer: {{consistentHash: {{{key}}}}}}}}}
""",
        )


def test_two_entries_of_one_host_with_different_ports_are_one_service(objects):
    endpoints = "  resolution: STATIC\n  endpoints: [{address: 10.1.0.5}]"
    old = entry("a", "{number: 80, name: http, protocol: HTTP}", endpoints)
    new = entry("b", "{number: 90, name: other, protocol: TCP}", endpoints)
    assert taken(objects, old + new).diagnostics == taken(objects, old).diagnostics


def rule(policy: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: d, namespace: shop}}
spec: {{host: reviews, trafficPolicy: {policy}}}
"""


def cluster(resources, name: str) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster.FromString(resources.of_type(CLUSTER_TYPE)[name].body)


def test_a_ring_is_no_larger_than_envoy_takes(objects):
    made = taken(objects, rule("{loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 1099511627776}}}"))
    found = cluster(made, "outbound|9080||reviews.shop.svc.cluster.local")
    assert found.ring_hash_lb_config.minimum_ring_size.value == 8_388_608


def test_statistics_of_clusters_are_called_as_the_mesh_says(objects):
    mesh = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundClusterStatName: '%SERVICE%_%SERVICE_PORT_NAME%'"}
"""
    found = cluster(taken(objects, mesh), "outbound|9080||reviews.shop.svc.cluster.local")
    assert found.alt_stat_name == "reviews.shop_http;"


@pytest.mark.parametrize(("asked", "elsewhere"), [(None, False), (True, True), (False, False)])
def test_retries_of_hashed_requests_go_elsewhere_only_when_asked(asked, elsewhere):
    policy = retry_policy(HttpRetry(attempts=2, retry_ignore_previous_hosts=asked), MeshConfig(), consistent_hash=True)
    assert bool(policy.retry_host_predicate) is elsewhere


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ("@request.auth.claims.sub", ("sub",)),
        ("@request.auth.claims.group.name", ("group", "name")),
        ("@request.auth.claims[group][example.com/name]", ("group", "example.com/name")),
        ("@request.auth.claims", ()),
        ("@request.auth.claims-sub", ()),
        ("@request.auth.claims[sub", ()),
    ],
)
def test_a_claim_is_named_with_dots_or_brackets(header, path):
    assert claim_path(header) == path
