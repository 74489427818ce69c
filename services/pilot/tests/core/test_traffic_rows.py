"""Every traffic row answered by the simulator: what real Envoys do in tests/e2e is what the compiled resources say."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshcore.model.load import parse_object
from meshcore.testing.traffic_rows import NO_SERVER, Row, SharedWorkload, TrafficFolder, workload_group
from meshcore.testing.traffic_verdict import disagreements
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.issuer_keys import IssuerKeys, KeySource
from pilot.core.proxy import classify, parse_node
from pilot.core.registry import Locality, RegisteredWorkload
from pilot.core.registry.endpoint import DISABLED_TLS, NETWORK_LABEL, TLS_MODE_LABEL
from pilot.core.snapshot import MeshSnapshot
from simulated_rows import Place, SimulatedMesh

ROWS = TrafficFolder(Path(__file__).parents[4] / "tests" / "e2e" / "traffic")
NUMBERED = {workload.name: (number, workload) for number, workload in enumerate(ROWS.workloads, 1)}
ADDRESSES = {name: (f"127.1.0.{number}", f"127.1.1.{number}") for name, (number, _) in NUMBERED.items()}
LOCALITY = "topology.istio.io/locality"
PLACES = {
    address: Place(
        name,
        f"spiffe://cluster.local/ns/{workload.namespace}/sa/{workload.service_account}",
        is_application=bool(part),
        is_gateway=workload.type == "router",
    )
    for name, (_, workload) in NUMBERED.items()
    for part, address in enumerate(ADDRESSES[name])
}
CACHE = CompileCache()


def node(workload: SharedWorkload) -> dict[str, Any]:
    """As the agent of that workload names itself."""
    proxy, application = ADDRESSES[workload.name]
    region, zone = workload.labels[LOCALITY].split(".")
    metadata = {
        "NAMESPACE": workload.namespace,
        "SERVICE_ACCOUNT": workload.service_account,
        "CLUSTER_ID": "Kubernetes",
    }
    metadata |= {"LABELS": dict(workload.labels), "INTERCEPTION_MODE": "NONE", "INSTANCE_IPS": proxy}
    group = workload.name if workload.registers else ""
    metadata |= {"MESHCORE_APP_ADDRESS": application, "AUTO_REGISTER_GROUP": group}
    metadata["NETWORK"] = workload.labels.get(NETWORK_LABEL, "")
    if workload.type == "router":
        metadata["UNPRIVILEGED_POD"] = "true"
    place = f"{workload.type}~{proxy}~{workload.name}.{workload.namespace}~{workload.namespace}.svc.cluster.local"
    return {"id": place, "metadata": metadata, "locality": {"region": region, "zone": zone}}


def registered(workload: SharedWorkload) -> RegisteredWorkload:
    """As it registers with its group."""
    return RegisteredWorkload(
        name=workload.name,
        namespace=workload.namespace,
        group=workload.name,
        address=ADDRESSES[workload.name][0],
        labels={**workload.labels, **({TLS_MODE_LABEL: DISABLED_TLS} if workload.type == "router" else {})},
        service_account=workload.service_account,
        locality=Locality.parse(workload.labels[LOCALITY].replace(".", "/")),
    )


@cache
def base() -> tuple[Any, ...]:
    """The objects that the shared mesh always has, parsed once."""
    groups = [
        workload_group({**workload.model_dump(), "group": workload.name})
        for workload in ROWS.workloads
        if workload.registers
    ]
    return tuple(parse_object(item) for item in (*ROWS.config, *groups))


def served_keys(snapshot: MeshSnapshot) -> Iterator[tuple[KeySource, str]]:
    """The key sets that rows' issuers serve."""
    for source in snapshot.key_sources():
        server, _, name = (source.uri or source.issuer).rpartition("/")
        if server == NO_SERVER and name in ROWS.mint.keys:
            yield source, ROWS.mint.key_set(name)


def mesh_of(row: Row) -> SimulatedMesh:
    """The shared mesh with the row's config laid over it."""
    settings = {"proxyHttpPort": 15002, **row.mesh}
    settings_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": yaml.safe_dump(settings)},
    }
    own = [parse_object(item) for item in (settings_map, *row.config)]
    over = {(item.kind, *item.namespaced_name) for item in own}
    objects = [item for item in base() if (item.kind, *item.namespaced_name) not in over] + own
    snapshot = MeshSnapshot.of(objects).with_registered(
        registered(workload) for workload in ROWS.workloads if workload.registers
    )
    snapshot = snapshot.with_keys(IssuerKeys(sets=dict(served_keys(snapshot))))

    @cache
    def resources(name: str) -> ResourceSet:
        return compile_resources(snapshot, classify(parse_node(node(NUMBERED[name][1])), snapshot.selection), CACHE)

    return SimulatedMesh(resources, PLACES)


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in ROWS.row_files])
def test_row(path: Path) -> None:
    row = ROWS.row(path, ADDRESSES)
    mesh = mesh_of(row)
    for number, call in enumerate(row.calls, 1):
        if row.not_simulated or call.not_simulated:
            continue
        outcome = mesh.predict(call)
        wrong = disagreements(call, outcome)
        assert not wrong, f"call {number} of {row.id} ({call.url}): {wrong}\n{outcome}"
