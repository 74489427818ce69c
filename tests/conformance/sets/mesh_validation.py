"""Pieces of the mesh config and of the mesh networks, checked in the ConfigMap that carries them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshctl.core.validation import Verdict

from tests.conformance.case_files import read_cases
from tests.conformance.config_verdict import INVALID, judge, verdict_of
from tests.conformance.outcome import Outcome, failed, passed

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


def run(directory: Path) -> Iterator[Outcome]:
    """An extension provider that is wrong does not refuse the mesh config: there the warning is the verdict."""
    for case in read_cases(directory / "cases.jsonl"):
        verdict = verdict_of(_config_map(case["kind"], _whole(case)))
        if _PROVIDERS in case["kind"]:
            yield _judge_provider(case["id"], verdict, case["expect"])
        else:
            yield judge(case["id"], verdict, case["expect"], case["warning"])


def _judge_provider(case: str, verdict: Verdict, expect: str) -> Outcome:
    faults = [*verdict.errors, *verdict.warnings]
    if (expect == INVALID) is bool(faults):
        return passed(case)
    return failed(case, f"expected {expect}; got {[str(fault) for fault in faults]}")


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
