"""Nodes: where an endpoint is, whether its node came before or after it."""

import pytest
from drawn_changes import Change, Record
from meshcore.model.load import dump_object, parse_object
from pilot.core.registry.endpoint import Locality
from pilot.core.snapshot import MeshSnapshot

SERVICE = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"name": "http", "port": 80}]}}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"labels": {"topology.kubernetes.io/region": "east"}}}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n1"}],
}
ENDPOINTS = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "subsets": [{"addresses": [{"ip": "10.0.0.1", "nodeName": "n1"}], "ports": [{"name": "http", "port": 8080}]}],
}


def written(body, group, plural, name, namespace="shop"):
    metadata = {**body.get("metadata", {}), "name": name} | ({"namespace": namespace} if namespace else {})
    record = Record(1, dump_object(parse_object({**body, "metadata": metadata})))
    return Change((group, plural, namespace, name), record)


@pytest.mark.parametrize(
    "listing",
    [
        written(SLICE, "discovery.k8s.io", "endpointslices", "web-1"),
        written(ENDPOINTS, "", "endpoints", "web"),
    ],
)
@pytest.mark.parametrize("node_first", [True, False])
def test_an_endpoint_without_a_pod_is_where_its_node_is(listing, node_first):
    node = written(NODE, "", "nodes", "n1", "")
    order = [node, listing] if node_first else [listing, node]
    mesh = MeshSnapshot.empty().apply([written(SERVICE, "", "services", "web")])
    for change in order:
        mesh = mesh.apply([change])
    (endpoint,) = next(iter(mesh.registry.endpoints.values()))
    assert endpoint.locality == Locality("east")
    gone = mesh.apply([Change(node.key, Record(2, None), node.record)])
    (endpoint,) = next(iter(gone.registry.endpoints.values()))
    assert endpoint.locality == Locality()
    assert {key.host for key in gone.registry.touched} == {"web.shop.svc.cluster.local"}
