"""Config that is odd but valid: Pilot takes it, and Envoy takes what is made of it."""

from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.proxy import classify, parse_node
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
