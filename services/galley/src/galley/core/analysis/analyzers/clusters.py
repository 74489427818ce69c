"""Several clusters: networks whose registries nobody knows, services that differ between clusters."""

from collections.abc import Iterator, Mapping
from typing import Any

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import KnownNames, use_instead
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import SECRET, SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INCONSISTENT_SERVICE, UNKNOWN_REGISTRY
from galley.core.analysis.reading import items, mapping, mappings, text
from galley.core.analysis.resource import Resource

_REGISTRIES = ("Mock", "Kubernetes", "External")
_REMOTE_SECRET = "istio/multiCluster"


def check_networks(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Registries in MeshNetworks that are neither built in nor a cluster with a remote secret."""
    known = [*_REGISTRIES]
    for secret in inputs.of(SECRET):
        if secret.labels.get(_REMOTE_SECRET) == "true":
            known += [*mapping(secret.body, "data"), *mapping(secret.body, "stringData")]
    for networks in inputs.mesh_networks:
        for network, settings in mapping(networks.body, "networks").items():
            for index, endpoint in mappings(settings, "endpoints"):
                registry = endpoint.get("fromRegistry")
                if registry is None or registry in known:
                    continue
                place = ("networks", network, "endpoints", index, "fromRegistry")
                line = networks.line_of(f"networks.{network}.endpoints[{index}]")
                fix = use_instead(str(registry), KnownNames(known), *place)
                yield Message(UNKNOWN_REGISTRY, networks, (registry, network), line, fix)


def check_services(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Services of one name that are not the same in all clusters."""
    services: dict[tuple[str, str], dict[str, Resource]] = {}
    for service in inputs.of(SERVICE):
        if service.cluster:
            services.setdefault((service.namespace, service.name), {})[service.cluster] = service
    for (namespace, name), by_cluster in services.items():
        if len(by_cluster) == 1:
            continue
        clusters, reasons = _differences(by_cluster)
        if reasons:
            first = next(iter(by_cluster.values()))
            parameters = (name, namespace, sorted(clusters), "; ".join(sorted(reasons)))
            yield Message(INCONSISTENT_SERVICE, first, parameters)


def _differences(by_cluster: Mapping[str, Resource]) -> tuple[set[str], set[str]]:
    """The clusters that differ, the one that they are compared with among them, and in what."""
    (first_cluster, first), *others = by_cluster.items()
    clusters: set[str] = set()
    reasons: set[str] = set()
    for cluster, service in others:
        if _is_headless(first) is not _is_headless(service):
            clusters.update(by_cluster)
            reasons.add("some clusters have it headless, others with a cluster IP")
        if _type(first) != _type(service):
            clusters.add(cluster)
            reasons.add("its type differs")
        if _ports(first) != _ports(service):
            clusters.add(cluster)
            reasons.add("its ports differ")
    return (clusters | {first_cluster} if clusters else clusters), reasons


def _is_headless(service: Resource) -> bool:
    return text(service.spec, "clusterIP") == "None"


def _type(service: Resource) -> str:
    return text(service.spec, "type") or "ClusterIP"


def _ports(service: Resource) -> list[Any]:
    return sorted(items(service.spec, "ports"), key=lambda port: text(port, "name"))
