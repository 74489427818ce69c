"""Each case of testdata: what one proxy is sent in one mesh. Every output is accepted by a real Envoy.

A new case is two files: `in.yaml` (the mesh) and, unless the usual client will do, `proxy.yaml` (Envoy's Node).
"""

from dataclasses import asdict
from pathlib import Path

import pytest
from meshcore.testing.envoy import validate
from meshcore.testing.golden import case_directories, to_yaml
from meshcore.xds.constraints import violations
from meshcore.xds.references import dangling
from meshcore.xds.registry import parse
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.config_dump import resources_of_type
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

TESTDATA = Path(__file__).parents[1] / "testdata"
FILES = {"clusters": CLUSTER_TYPE, "endpoints": ENDPOINT_TYPE, "listeners": LISTENER_TYPE, "routes": ROUTE_TYPE}
INPUTS = ("in.yaml", "proxy.yaml")


@pytest.mark.parametrize("case", case_directories(TESTDATA))
def test_golden(case, golden, case_of):
    objects, node = case_of(case)
    snapshot = MeshSnapshot.of(objects)
    resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection))

    outputs = {f"{name}.yaml": to_yaml(resources_of_type(resources, type_url)) for name, type_url in FILES.items()}
    if resources.of_type(EXTENSION_CONFIG_TYPE):
        outputs["extensions.yaml"] = to_yaml(resources_of_type(resources, EXTENSION_CONFIG_TYPE))
    if resources.diagnostics:
        found = [{**asdict(item), "severity": str(item.severity)} for item in resources.diagnostics]
        outputs["diagnostics.yaml"] = to_yaml(found)
    golden(case, outputs, inputs=INPUTS)

    explained = {item.message.split()[1] for item in resources.diagnostics if item.code.startswith("unknown-")}
    missing = {reference.to_name for reference in dangling(resources)}
    assert {name.rsplit("|", 1)[-1] for name in missing} == explained, "a name that no diagnostic explains is missing"
    for named in resources.resources.values():
        for resource in named.values():
            assert list(violations(parse(resource.type_url, resource.body))) == []
    validate(as_bootstrap(resources, node))
