"""Which listeners tell the agent of what, beside what users ask for; the goldens `requestaudit-*` show how."""

from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.xds.types import LISTENER_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

MESH = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.0.0.1
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec:
  clusterIP: 10.0.0.2
  ports: [{name: tcp, port: 7000}]
"""
FILTER = """
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: own-log, namespace: shop}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    match:
      context: SIDECAR_INBOUND
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          access_log:
          - name: own
            typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}
"""


def listeners(objects: Any, text: str, **metadata: str) -> dict[str, listener_pb2.Listener]:
    node = {
        "id": "sidecar~10.1.0.2~web-1.shop~shop.svc.cluster.local",
        "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web"}, **metadata},
    }
    snapshot = MeshSnapshot.of(objects(text))
    made = compile_resources(snapshot, classify(parse_node(node), snapshot.selection)).of_type(LISTENER_TYPE)
    return {name: listener_pb2.Listener.FromString(item.body) for name, item in made.items()}


def managers(listener: listener_pb2.Listener) -> list[Any]:
    kind = http_connection_manager_pb2.HttpConnectionManager
    filters = [item for chain in listener.filter_chains for item in chain.filters]
    return [kind.FromString(item.typed_config.value) for item in filters if item.typed_config.Is(kind.DESCRIPTOR)]


def test_only_where_traffic_arrives_and_only_where_the_agent_takes_it(objects):
    before = listeners(objects, MESH)
    after = listeners(objects, MESH, MESHCORE_AUDIT="true")
    assert {name for name in after if after[name] != before[name]} == {"virtualInbound"}
    assert listeners(objects, MESH, MESHCORE_AUDIT="false") == before
    assert [log.name for log in after["virtualInbound"].access_log] == ["envoy.access_loggers.tcp_grpc"]


def test_the_mesh_config_turns_it_off(objects):
    off = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "requestAudit: NONE"}
"""
    assert listeners(objects, MESH + off, MESHCORE_AUDIT="true") == listeners(objects, MESH + off)


@pytest.mark.parametrize(("audit", "expected"), [("true", ["envoy.access_loggers.http_grpc", "own"]), ("", ["own"])])
def test_the_log_of_an_envoyfilter_stands_beside_it(objects, audit, expected):
    found = managers(listeners(objects, MESH + FILTER, MESHCORE_AUDIT=audit)["virtualInbound"])
    assert found
    for manager in found:
        assert [log.name for log in manager.access_log] == expected
