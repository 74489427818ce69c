"""Extensions of one name: what only one of two can have."""

import yaml
from envoy.config.core.v3 import extension_pb2
from meshcore.model.load import parse_object
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, LISTENER_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NODE = {"id": "sidecar~10.1.0.1~a.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}
EXTENSION = "extensions.istio.io/trafficextension/shop.same"
TWO = """
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: same, namespace: shop, creationTimestamp: "2024-01-02T00:00:00Z"}
spec: {lua: {inlineCode: "-- young"}, priority: 9}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: same, namespace: shop, creationTimestamp: "2024-01-01T00:00:00Z"}
spec: {url: "file:///old.wasm"}
"""


def test_of_a_plugin_and_an_extension_of_one_name_the_older_runs() -> None:
    snapshot = MeshSnapshot.of(map(parse_object, yaml.safe_load_all(TWO)))
    made = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    (content,) = made.resources[EXTENSION_CONFIG_TYPE].values()
    config = extension_pb2.TypedExtensionConfig.FromString(content.body).typed_config.type_url
    assert config.endswith("envoy.extensions.filters.http.wasm.v3.Wasm")
    chains = b"".join(item.body for item in made.resources[LISTENER_TYPE].values())
    assert EXTENSION.encode() in chains
    assert b"lua.v3.Lua" not in chains, "no filter waits for the content of the other"
    (problem,) = made.diagnostics
    assert (problem.code, problem.config.rpartition("/")[0].rpartition("/")[2]) == (
        "extension-not-usable",
        "traffic-extension",
    )
    assert "a WasmPlugin of this name" in problem.message


BROKEN = """
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: guard, namespace: shop}
spec: {lua: {inlineCode: "function envoy_on_request(handle"}, phase: AUTHZ}
"""


def test_a_script_that_does_not_parse_is_not_sent_and_its_filter_lets_nobody_pass_meanwhile() -> None:
    snapshot = MeshSnapshot.of([parse_object(yaml.safe_load(BROKEN))])
    made = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    assert EXTENSION_CONFIG_TYPE not in made.resources
    assert b"trafficextension/shop.guard" in b"".join(item.body for item in made.resources[LISTENER_TYPE].values())
    (problem,) = made.diagnostics
    assert problem.code == "extension-not-sent"
    assert "line 1" in problem.message
