"""A provider of the mesh config that Envoy would refuse is left out, and told; listeners go on without it."""

from typing import Any

import pytest
import yaml
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

SERVICE = {"service": "collector.shop.svc.cluster.local", "port": 4317}
NODE = {"id": "sidecar~10.1.0.9~shop.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}
LOGGERS: dict[str, dict[str, Any]] = {
    "an unknown operator": {"envoyFileAccessLog": {"logFormat": {"text": "%NOPE%"}}},
    "a label deep inside": {"envoyFileAccessLog": {"logFormat": {"labels": {"a": {"b": ["%REQ(a b)%"]}}}}},
    "an expression": {"envoyOtelAls": {**SERVICE, "logFormat": {"text": "%CEL(nope(1))%"}}},
}
TRACERS: dict[str, dict[str, Any]] = {
    "a header of HTTP": {"opentelemetry": {**SERVICE, "http": {"path": "/", "headers": [{"name": "a", "value": "%"}]}}},
    "a line end": {"opentelemetry": {**SERVICE, "grpc": {"initialMetadata": [{"name": "a", "value": "a\nb"}]}}},
    "what ends Envoy": {
        "opentelemetry": {**SERVICE, "grpc": {"initialMetadata": [{"name": "a", "value": "%CEL(request.path)%"}]}}
    },
}


@pytest.mark.parametrize("name", [*LOGGERS, *TRACERS])
def test_what_envoy_refuses_of_a_provider_is_not_sent(name: str) -> None:
    provider = {"name": "wrong", **(LOGGERS | TRACERS)[name]}
    used = [{"providers": [{"name": "wrong"}]}]
    documents = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": yaml.safe_dump({"extensionProviders": [provider]})},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "collector", "namespace": "shop"},
            "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "grpc", "port": 4317}]},
        },
        {
            "apiVersion": "telemetry.istio.io/v1",
            "kind": "Telemetry",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"accessLogging" if name in LOGGERS else "tracing": used},
        },
    ]
    snapshot = MeshSnapshot.of(parse_object(document) for document in documents)
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    assert [item for item in resources.diagnostics if "Envoy does not take its" in item.message]
    validate(as_bootstrap(resources, NODE))
