"""AuthorizationPolicies and the filters that come of them for one workload, compared as protobuf."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from meshcore.model.load import load_yaml_documents, parse_object
from meshcore.xds import registry
from pilot.core.compiler import CompileCache
from pilot.core.compiler.authorization import authorization_of
from pilot.core.compiler.context import Compilation
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

from tests.conformance.outcome import Outcome, failed, passed

SET = "authz-rbac"
_NODE = {
    "id": "sidecar~10.1.0.9~httpbin.foo~foo.svc.cluster.local",
    "metadata": {"NAMESPACE": "foo", "LABELS": {"app": "httpbin", "version": "v1"}},
}
_PROVIDER = """
apiVersion: v1
kind: Service
metadata: {name: my-custom-ext-authz, namespace: foo}
spec: {ports: [{name: grpc, port: 9000}]}
"""
_CUSTOM = "ext_authz"


def run(directory: Path) -> Iterator[Outcome]:
    """The filters of the CUSTOM policies, or of all others, in their order."""
    for case in json.loads((directory / "expected.json").read_text()):
        files = directory / "files"
        want = [_parsed(yaml.safe_load((files / name).read_text())) for name in case["want"]]
        got = _filters((files / case["input"]).read_text(), case)
        same = len(got) == len(want) and all(map(_agree, got, want))
        yield passed(case["name"]) if same else failed(case["name"], f"wanted {want}, got {got}")


def _filters(text: str, case: Mapping[str, Any]) -> list[Any]:
    mesh = {**case.get("mesh_config", {}), "trustDomain": case.get("trust_domain", "cluster.local")}
    mesh["trustDomainAliases"] = case.get("trust_domain_aliases", [])
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": yaml.safe_dump(mesh)},
    }
    documents = [item.body for source in (text, _PROVIDER) for item in load_yaml_documents(source, "in")]
    snapshot = MeshSnapshot.of([parse_object(item, strict=False) for item in (config, *documents)])
    work = Compilation(snapshot, classify(parse_node(_NODE), snapshot.selection), CompileCache())
    found = authorization_of(work)
    if found is None:
        return []
    is_tcp = case["for"] == "tcp"
    if case.get("custom_builder"):
        return [one for item in (found.tcp_custom if is_tcp else found.custom) for one in item.filters]
    return list(found.tcp_then if is_tcp else found.then)


def _parsed(document: Any) -> Any:
    from envoy.config.listener.v3 import listener_components_pb2

    registry.load()
    return json_format.ParseDict(document, listener_components_pb2.Filter())


def _agree(got: Any, want: Any) -> bool:
    """The name that a provider's rules begin with is whole here: Istio's begins those of longer names too."""
    ours, theirs = registry.unpack(got.typed_config), registry.unpack(want.typed_config)
    if _CUSTOM in got.name:
        prefix = ours.filter_enabled_metadata.value.string_match
        if prefix.prefix.endswith("-ns["):
            prefix.prefix = prefix.prefix.removesuffix("-ns[")
    return bool(got.name == want.name and ours == theirs)
