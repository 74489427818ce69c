"""Nodes and classes: replicas share one class, and a class holds nothing that config cannot depend on."""

import pytest
from envoy.config.core.v3 import base_pb2
from google.protobuf import json_format
from meshcore.errors import ErrorCode, MeshError
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import Interception, ProxyType, classify
from pilot.core.registry import Locality, RegisteredWorkload, ServiceKey
from pilot.core.snapshot import MeshSnapshot

MESH = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http-port}, {name: raw, port: 90, targetPort: 9000}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web, namespace: shop}
spec:
  metadata: {labels: {app: web}}
  template: {ports: {http-port: 8080}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: listed, namespace: shop}
spec:
  hosts: [listed.example]
  ports: [{number: 70, name: tcp, protocol: TCP, targetPort: 7000}]
  resolution: STATIC
  endpoints: [{address: 10.1.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [web]
  http:
  - match: [{sourceLabels: {tier: gold}}]
    route: [{destination: {host: web}}]
"""


def node(address: str, name: str, **metadata: object) -> dict:
    return {
        "id": f"sidecar~{address}~{name}.shop~shop.svc.cluster.local",
        "cluster": "web.shop",
        "locality": {"region": "eu", "zone": "west"},
        "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", **metadata},
    }


def test_replicas_of_one_workload_share_one_class_and_all_of_its_resources(objects):
    snapshot = MeshSnapshot.of(objects(MESH))
    labels = {"app": "web", "tier": "gold"}
    first = node("10.1.0.7", "web-1", LABELS={**labels, "statefulset.kubernetes.io/pod-name": "web-1"}, NODE_NAME="a")
    second = node("10.1.0.8", "web-2", LABELS={**labels, "statefulset.kubernetes.io/pod-name": "web-2"}, NODE_NAME="b")
    one, other = (classify(parse_node(item), snapshot.selection) for item in (first, second))
    assert one == other
    assert compile_resources(snapshot, one) == compile_resources(snapshot, other)
    assert dict(one.labels) == {"tier": "gold"}, "only labels that some selector reads"


def test_on_its_own_addresses_a_class_is_one_proxy():
    own = {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.1"}
    selection = MeshSnapshot.empty().selection
    one, other = (classify(parse_node(node(f"127.1.0.{i}", "web", **own)), selection) for i in (1, 2))
    assert one != other
    assert (one.bind_address, one.app_address) == ("127.1.0.1", "127.1.1.1")


def test_the_message_and_its_json_are_read_alike():
    described = node("10.1.0.7", "web-1", LABELS={"app": "web"}, ISTIO_VERSION="1.27.0", INTERCEPTION_MODE="TPROXY")
    message = json_format.ParseDict(described, base_pb2.Node())
    proxy = parse_node(message)
    assert proxy == parse_node(described)
    assert (proxy.id, proxy.namespace, proxy.service_account) == ("web-1.shop", "shop", "web")
    assert proxy.interception is Interception.TPROXY
    assert proxy.locality == Locality("eu", "west", "")


def test_a_workload_serves_what_selects_it_and_what_lists_its_address(objects):
    snapshot = MeshSnapshot.of(objects(MESH))
    served = classify(parse_node(node("10.1.0.1", "web", AUTO_REGISTER_GROUP="web")), snapshot.selection).served
    web, listed = ServiceKey("web.shop.svc.cluster.local", "shop"), ServiceKey("listed.example", "shop")
    assert served == ((7000, listed, 70), (8080, web, 80), (9000, web, 90))


def test_a_named_target_port_is_looked_up_in_the_pods_ports(objects):
    snapshot = MeshSnapshot.of(objects(MESH))
    ports = '[{"name": "http-port", "containerPort": 8081, "protocol": "TCP"}]'
    described = node("10.1.0.7", "web", LABELS={"app": "web"}, POD_PORTS=ports)
    served = classify(parse_node(described), snapshot.selection).served
    assert [item.target for item in served] == [8081, 9000]
    described["metadata"]["POD_PORTS"] = "[" * 100_000
    assert parse_node(described).pod_ports == {}
    described["metadata"]["POD_PORTS"] = "not json"
    assert [item.target for item in classify(parse_node(described), snapshot.selection).served] == [9000]


POD = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, tier: TIER}}
spec: {containers: [{name: main}]}
---
"""


def test_a_proxy_is_labelled_as_its_pod_is_now_not_as_it_said_when_it_started(objects):
    said = node("10.1.0.1", "web-1", LABELS={"app": "old", "tier": "old"}, STATIC_LABELS={"tier": "mine", "x": 1})
    for tier in ("gold", "silver"):
        snapshot = MeshSnapshot.of(objects(POD.replace("TIER", tier) + MESH))
        one = classify(parse_node(said), snapshot.selection)
        assert dict(one.labels) == {"tier": tier}
        assert {item.service.host for item in one.served} == {"web.shop.svc.cluster.local", "listed.example"}
    unlabelled = POD.replace(", tier: TIER", "")
    snapshot = MeshSnapshot.of(objects(unlabelled + MESH))
    assert dict(classify(parse_node(said), snapshot.selection).labels) == {"tier": "mine"}
    registers = {**said, "metadata": {**said["metadata"], "AUTO_REGISTER_GROUP": "web"}}
    assert dict(classify(parse_node(registers), snapshot.selection).labels) == {"tier": "old"}
    assert dict(classify(parse_node(said), MeshSnapshot.of(objects(MESH)).selection).labels) == {"tier": "old"}


def test_registered_replicas_are_endpoints_of_one_class(objects):
    registered = [RegisteredWorkload(f"web-{i}", "shop", "web", f"10.1.0.{i}") for i in (1, 2)]
    snapshot = MeshSnapshot.of(objects(MESH)).with_registered(registered)
    classes = {
        classify(parse_node(node(f"10.2.0.{i}", f"web-{i}", AUTO_REGISTER_GROUP="web")), snapshot.selection)
        for i in (1, 2)
    }
    assert len(classes) == 1
    assert {item.address for item in snapshot.registry.endpoints[ServiceKey("web.shop.svc.cluster.local", "shop")]} == {
        "10.1.0.1",
        "10.1.0.2",
    }


def test_gateways_and_agents_are_known(objects):
    described = node("10.1.0.7", "gw")
    described["id"] = described["id"].replace("sidecar", "router")
    assert parse_node(described).type is ProxyType.ROUTER
    assert parse_node(node("10.1.0.7", "a", GENERATOR="agent")).is_agent
    assert classify(parse_node(described), MeshSnapshot.of(objects(MESH)).selection).served == ()


@pytest.mark.parametrize(
    ("described", "word"),
    [
        ({"id": "sidecar~1.2.3.4~web"}, "form"),
        ({"id": "toaster~1.2.3.4~web.shop~shop.svc.cluster.local"}, "type"),
        ({"id": "sidecar~nowhere~web.shop~shop.svc.cluster.local"}, "IP address"),
        (node("1.2.3.4", "web", INTERCEPTION_MODE="MAGIC"), "INTERCEPTION_MODE"),
        (node("1.2.3.4", "web", HTTP_PROXY_PORT="²"), "HTTP_PROXY_PORT '²' is no whole number from 0 to 65535"),
        (node("1.2.3.4", "web", HTTP_PROXY_PORT=-1), "HTTP_PROXY_PORT"),
        (node("1.2.3.4", "web", ENVOY_STATUS_PORT=float("inf")), "ENVOY_STATUS_PORT"),
        (node("1.2.3.4", "web", ENVOY_STATUS_PORT="9" * 5000), "ENVOY_STATUS_PORT"),
        (node("1.2.3.4", "web", LABELS=["app"]), "LABELS"),
        (node("1.2.3.4", "web", POD_PORTS='[{"name": "a", "containerPort": "http"}]'), "containerPort"),
        (node("1.2.3.4", "web", POD_PORTS='[{"name": "a", "containerPort": [1]}]'), "containerPort"),
        ({}, "form"),
    ],
)
def test_a_wrong_node_is_told_what_is_wrong(described, word):
    with pytest.raises(MeshError, match=word) as raised:
        parse_node(described)
    assert raised.value.code is ErrorCode.INVALID
