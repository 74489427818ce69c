"""Pieces of the mesh config and of the mesh networks, checked in the ConfigMap that carries them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.case_files import read_cases
from tests.conformance.config_verdict import Case, by_validation, judging
from tests.conformance.webhook_verdict import by_webhook

SET = "mesh-validation"
_NETWORKS = "MeshNetworks"
_PROVIDERS = "extensionProviders"
_ZERO: Mapping[str, Mapping[str, Any]] = {
    "MeshConfig": {"proxyListenPort": 0, "connectTimeout": "0s", "trustDomain": "", "defaultConfig": {}},
    "MeshConfig.defaultConfig": {
        "configPath": "",
        "binaryPath": "",
        "discoveryAddress": "",
        "drainDuration": "0s",
        "proxyAdminPort": 0,
        "statusPort": 0,
    },
}
"""What a document without defaults under it has where it says nothing."""


def cases(directory: Path) -> Iterator[Case]:
    """An extension provider that is wrong does not refuse the mesh config: there the warning is the verdict."""
    for case in read_cases(directory / "cases.jsonl"):
        body = _config_map(case["kind"], _whole(case))
        yield Case(case["id"], body, case["expect"], case["warning"], doubtful=_PROVIDERS in case["kind"])


run = judging(cases, by_validation)
run_webhook = judging(cases, by_webhook)


def _whole(case: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = case["doc"]
    if not case.get("complete"):
        return document
    zero = dict(_ZERO.get(case["kind"], {}))
    if case["kind"].endswith("defaultConfig") and "tracingServiceName" not in document:
        zero["serviceCluster"] = ""
    return {**zero, **document}


def _config_map(kind: str, document: Any) -> dict[str, Any]:
    """The ConfigMap with the fragment in its place: `MeshConfig.a.b[]` is an item of list `b` of message `a`."""
    key, *path = kind.split(".")
    for part in reversed(path):
        document = {part.removesuffix("[]"): [document] if part.endswith("[]") else document}
    data = {"meshNetworks" if key == _NETWORKS else "mesh": json.dumps(document)}
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
