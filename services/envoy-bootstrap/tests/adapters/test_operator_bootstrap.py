"""Bootstraps of the operator's own, with a real Envoy."""

import json
from pathlib import Path
from typing import Any

import pytest


async def test_a_custom_bootstrap_and_an_override_are_what_envoy_runs_with(mesh: Any) -> None:
    custom, override, pod = (mesh.directory / name for name in ("custom.yaml", "override.json", "pod"))
    pod.mkdir()
    (pod / "labels").write_text('app="front"\n')
    custom.write_text(
        "stats_flush_interval: 9s\n"
        "static_resources:\n"
        "  clusters:\n"
        "  - {name: own, type: STATIC, connect_timeout: 3s, load_assignment: {cluster_name: own}}\n"
    )
    extra = {"name": "merged", "type": "STATIC", "load_assignment": {"cluster_name": "$(HOST_IP)"}}
    override.write_text(json.dumps({"static_resources": {"clusters": [extra]}}))
    workload = await mesh.start_ready(
        "front",
        1,
        ISTIO_BOOTSTRAP=str(custom),
        ISTIO_BOOTSTRAP_OVERRIDE=str(override),
        HOST_IP="10.9.9.9",
        MESHCORE_POD_INFO=str(pod),
    )
    dump = json.loads(await workload.admin("/config_dump"))["configs"]
    bootstrap = next(part for part in dump if part["@type"].endswith("BootstrapConfigDump"))["bootstrap"]
    clusters = {cluster["name"]: cluster for cluster in bootstrap["static_resources"]["clusters"]}
    assert {"own", "merged", "xds-grpc", "sds-grpc", "agent"} <= clusters.keys()
    assert clusters["merged"]["load_assignment"]["cluster_name"] == "10.9.9.9"
    assert bootstrap["stats_flush_interval"] == "9s"
    assert bootstrap["node"]["metadata"]["LABELS"] == {"app": "front"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("node: {id: '{{ .nodeID }}'}", "is a template of Go"),
        ("[1, 2]", "is not a mapping"),
        ("a: [", "is neither YAML nor JSON"),
        (None, "cannot be read"),
    ],
)
async def test_a_bootstrap_that_cannot_be_used_ends_the_start_and_is_named(
    mesh: Any, text: str | None, complaint: str
) -> None:
    file: Path = mesh.directory / "custom.yaml"
    if text is not None:
        file.write_text(text)
    workload = await mesh.start_workload("front", 1, PROXY_CONFIG=json.dumps({"customConfigFile": str(file)}))
    assert await workload.process.wait() == 2
    said = workload.log.read_text()
    assert complaint in said
    assert str(file) in said
