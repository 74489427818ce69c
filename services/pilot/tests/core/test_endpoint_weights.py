"""Weights of endpoints beside the 32 bits that Envoy adds them up in."""

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from meshcore.model.load import load_yaml_documents, parse_object
from meshcore.xds.types import ENDPOINT_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec:
  hosts: [far.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
"""
NODE = {"id": "sidecar~10.0.0.1~a.default~default.svc.cluster.local", "metadata": {"NAMESPACE": "default"}}


def weights_of(*weights: int) -> tuple[list[int], list[int]]:
    """Weights of the localities and of the endpoints."""
    entry = ENTRY + "".join(
        f"  - {{address: 10.1.{index % 2}.{index + 1}, weight: {weight}, locality: r{index % 2}}}\n"
        for index, weight in enumerate(weights)
    )
    snapshot = MeshSnapshot.of([parse_object(document.body) for document in load_yaml_documents(entry, "e.yaml")])
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    made = endpoint_pb2.ClusterLoadAssignment()
    made.ParseFromString(resources.of_type(ENDPOINT_TYPE)["outbound|80||far.example.com"].body)
    groups = made.endpoints
    hosts = [host for group in groups for host in group.lb_endpoints]
    return [group.load_balancing_weight.value for group in groups], [host.load_balancing_weight.value for host in hosts]


def test_small_weights_are_left_alone() -> None:
    assert weights_of(1, 3, 5) == ([6, 3], [1, 5, 3])


@pytest.mark.parametrize("weights", [(2**32 - 1,) * 4, (2**32 - 1, 1, 2**32 - 1), (2**32 - 1, 1)])
def test_large_weights_keep_their_shares_and_fit(weights: tuple[int, ...]) -> None:
    localities, endpoints = weights_of(*weights)
    assert sum(localities) == sum(endpoints) < 2**32
    assert min(endpoints) >= 1
    assert max(endpoints) / sum(endpoints) == pytest.approx(max(weights) / sum(weights))
