"""Every traffic row answered by the simulator: what real Envoys do in tests/e2e is what the compiled resources say."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshcore.model.load import parse_object
from meshcore.testing.traffic_rows import NO_SERVER, Row, RowCall, SharedWorkload, TrafficFolder, workload_group
from meshcore.testing.traffic_verdict import Outcome, disagreements
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.issuer_keys import IssuerKeys, KeySource
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.registry import Locality, RegisteredWorkload
from pilot.core.registry.endpoint import DISABLED_TLS, NETWORK_LABEL, TLS_MODE_LABEL
from pilot.core.snapshot import MeshSnapshot
from simulated_application import DEAF
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
        ports=frozenset((*workload.ports, DEAF)) if workload.has_echo else frozenset(),
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
        "ISTIO_VERSION": "0.1.0",
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


UNANSWERED = {
    "an authorizer decides": {
        "authorization/authorizer-away": 2,
        "authorization/authorizer-away-open": 2,
        "authorization/authorizer-before-policies": 2,
        "authorization/authorizer-over-grpc": 4,
        "authorization/authorizer-over-http": 4,
        "authorization/several-authorizers": 9,
    },
    "the handshake decides": {
        "authentication/foreign-trust-domain": 1,
        "destination-rules/tls-simple-unverified": 1,
        "service-entries/tls-of-workload-entries": 1,
    },
    "filters that patches add": {
        "authorization/by-metadata-of-filters": 3,
        "extensions/listener-patches": 1,
        "extensions/network-filter-operations": 2,
        "extensions/network-filter-patches": 1,
    },
    "it happens at the same time": {"destination-rules/connections-end": 1, "destination-rules/limits-of-tcp": 1},
    "bytes before the protocol": {"gateways/proxy-protocol": 2},
    "proxies before a gateway": {"authorization/clients-behind-proxies": 1},
    "headers that proxies write by themselves": {"extensions/headers-of-the-proxy": 1},
    "the size of a request": {"authentication/odd-tokens": 1},
    "copies beyond the next proxy": {"actions/mirror": 1},
}
"""How many calls of which rows the simulator has no answer to, by why. A row that is not here is answered whole."""
MOMENTS = 8
"""How often a call is sent at most that comes right eventually; after half of them time has passed."""


def answered(mesh: SimulatedMesh, call: RowCall) -> tuple[Outcome, list[str]]:
    """What the simulator says at last, and how that differs from what the row wants."""
    for moment in range(MOMENTS):
        outcome = mesh.predict(call)
        wrong = disagreements(call, outcome)
        if not wrong or not call.eventually:
            break
        if moment >= MOMENTS // 2:
            mesh.ejections.time_passes()
    return outcome, wrong


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in ROWS.row_files])
def test_row(path: Path) -> None:
    row = ROWS.row(path, ADDRESSES)
    mesh = mesh_of(row)
    for number, call in enumerate(row.calls, 1):
        if call.not_simulated:
            continue
        outcome, wrong = answered(mesh, call)
        assert not wrong, f"call {number} of {row.id} ({call.url}): {wrong}\n{outcome}"


def test_which_calls_are_not_answered_and_why() -> None:
    found: dict[str, Counter[str]] = {}
    for path in ROWS.row_files:
        row = ROWS.row(path, ADDRESSES)
        for call in row.calls:
            if call.not_simulated:
                found.setdefault(call.not_simulated, Counter())[row.id] += 1
    assert found == UNANSWERED


@pytest.mark.parametrize("name", sorted({name for rows in UNANSWERED.values() for name in rows}))
def test_a_call_that_is_not_answered_could_not_be(name: str) -> None:
    """Otherwise it says so for no reason."""
    row = ROWS.row(ROWS.path / f"{name}.yaml", ADDRESSES)
    mesh = mesh_of(row)
    for call in row.calls:
        if not call.not_simulated:
            mesh.predict(call)
            continue
        try:
            _, wrong = answered(mesh, call)
        except ValueError as error:
            wrong = [str(error)]
        assert wrong, f"{call.url} of {name} is answered as the row wants: take its not_simulated away"
