"""Pods and Nodes: what they tell of the endpoints that slices list, and of the proxies beside them. Pure.

A slice says where a pod can be reached and whether it is ready; the Pod says who it is (labels, service account), its
Node in which region and zone it runs. A pod that is not known leaves its endpoints without labels and identity.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from meshcore.model import Endpoints, EndpointSlice
from meshcore.model.cluster import Node, Pod
from meshcore.xds.origin import ConfigRef

from pilot.core.config import Name, Source
from pilot.core.ip_families import is_v6
from pilot.core.registry.endpoint import (
    DISABLED_TLS,
    NETWORK_LABEL,
    NOWHERE,
    REGION_LABEL,
    SUBZONE_LABEL,
    TLS_MODE_LABEL,
    ZONE_LABEL,
    Locality,
    ShardKey,
)
from pilot.core.registry.service import GALLEY
from pilot.core.registry.workload import Workload

_OLD_REGION_LABEL, _OLD_ZONE_LABEL = (f"failure-domain.beta.kubernetes.io/{part}" for part in ("region", "zone"))
_PLACE_LABELS = ("topology.istio.io/locality", "istio-locality")
_CRON_JOB = re.compile(r"(.+)-\d{8,10}")
_DEFAULT_ACCOUNT = "default"


class Place(NamedTuple):
    """Where a pod runs."""

    locality: Locality
    node: str


UNKNOWN_PLACE = Place(NOWHERE, "")


class _Address(NamedTuple):
    address: str
    ready: bool


@dataclass(frozen=True)
class Pods:
    """What is known of pods. Updated, never rebuilt; maps stay the same objects while nothing in them changes."""

    described: Mapping[Name, Workload] = field(default_factory=dict)
    """By namespace and name; without an address, which slices know."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """By the proxy's id (`pod.namespace`): pods whose place is known."""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the proxy's id: what each pod is labelled now, which may differ from what its proxy said when it started."""
    pods: Mapping[Name, Pod] = field(default_factory=dict)
    localities: Mapping[str, Locality] = field(default_factory=dict)
    """By the name of the node."""
    listed: Mapping[Name, Mapping[Source, _Address]] = field(default_factory=dict)
    """Which slices name a pod, and its address there."""

    def of(self, namespace: str, reference: Mapping[str, Any] | None) -> Workload | None:
        """The pod that an endpoint's `targetRef` names."""
        name = pod_name(namespace, reference)
        return self.described.get(name) if name is not None else None

    def selectable(self, name: Name) -> Workload | None:
        """The pod as a workload that a ServiceEntry can select, at the address under which slices list it."""
        found, places = self.described.get(name), self.listed.get(name)
        if found is None or not places:
            return None
        listed = sorted(places.items(), key=lambda item: (is_v6(item[1].address), item[0]))
        chosen = listed[0][1]
        other = next((item.address for _, item in listed if is_v6(item.address) is not is_v6(chosen.address)), "")
        more = (other,) if other else ()
        return replace(found, address=chosen.address, more_addresses=more, healthy=chosen.ready)


class PodsUpdate:
    """One step; `changed` are the pods of which something changed."""

    def __init__(self, before: Pods) -> None:
        self._pods = dict(before.pods)
        self._localities = dict(before.localities)
        self._listed = dict(before.listed)
        self._described = dict(before.described)
        self._before = before
        self.changed: set[Name] = set()
        self.moved: set[str] = set()
        """Nodes that are elsewhere than before."""

    def pod(self, name: Name, pod: object) -> None:
        """A Pod came, changed, or went (anything else)."""
        if isinstance(pod, Pod):
            self._pods[name] = pod
        else:
            self._pods.pop(name, None)
        self._describe(name)

    def node(self, name: str, node: object) -> None:
        """A Node came, changed, or went (anything else); only its place counts."""
        after = _locality_of_node(node.metadata.labels) if isinstance(node, Node) else NOWHERE
        if after == self._localities.get(name, NOWHERE):
            return
        self._localities[name] = after
        if after == NOWHERE:
            del self._localities[name]
        self.moved.add(name)
        for key, pod in self._pods.items():
            if pod.spec.node_name == name:
                self._describe(key)

    def slice(self, source: Source, old: object, new: object) -> None:
        """A slice came, changed or went."""
        for name in {name for name, _ in _listed(old)}:
            self._listed[name] = {other: item for other, item in self._listed[name].items() if other != source}
            if not self._listed[name]:
                del self._listed[name]
            self.changed.add(name)
        for name, address in _listed(new):
            self._listed[name] = {source: address, **self._listed.get(name, {})}
            self.changed.add(name)

    def users(self, name: Name) -> Iterable[Source]:
        """The slices that name a pod."""
        return self._listed.get(name, {})

    def finish(self) -> Pods:
        """The pods after this step."""
        before = self._before
        described = before.described if self._described == before.described else self._described
        return Pods(
            described,
            before.places if described is before.described else _places(described),
            before.labels if described is before.described else _labels(described),
            self._pods,
            self._localities,
            self._listed,
        )

    def _describe(self, name: Name) -> None:
        pod = self._pods.get(name)
        made = _workload_of(pod, self._localities.get(pod.spec.node_name, NOWHERE)) if pod else None
        if made == self._described.get(name):
            return
        self.changed.add(name)
        if made is None:
            del self._described[name]
        else:
            self._described[name] = made


def workload_name(pod: Pod) -> str:
    """What a person would call the pod's workload: the Deployment rather than its ReplicaSet, the CronJob rather than
    its Job, else its controlling owner, else the pod."""
    metadata = pod.metadata
    owners = (item.model_extra or {} for item in metadata.owner_references)
    owner = next((item for item in owners if item.get("controller")), None)
    if owner is None:
        return metadata.name
    name, kind = str(owner.get("name", "")), owner.get("kind")
    if kind == "ReplicaSet" and (made := metadata.labels.get("pod-template-hash")):
        return name.removesuffix(f"-{made}")
    found = _CRON_JOB.fullmatch(name) if kind == "Job" else None
    return found[1] if found else name


def _workload_of(pod: Pod, locality: Locality) -> Workload:
    labels = pod.metadata.labels
    said = next((labels[key] for key in _PLACE_LABELS if labels.get(key)), "")
    return Workload(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        address="",
        shard=ShardKey(GALLEY, ""),
        group=workload_name(pod),
        ports={port.name: port.container_port for item in pod.spec.containers for port in item.ports if port.name},
        labels=labels,
        service_account=pod.spec.service_account_name or _DEFAULT_ACCOUNT,
        locality=Locality.parse(said.replace(".", "/")) if said else locality,
        network=labels.get(NETWORK_LABEL, ""),
        tls_mode=labels.get(TLS_MODE_LABEL) or DISABLED_TLS,
        node=pod.spec.node_name,
        source=ConfigRef("Pod", *pod.namespaced_name),
    )


def _locality_of_node(labels: Mapping[str, str]) -> Locality:
    region = labels.get(REGION_LABEL) or labels.get(_OLD_REGION_LABEL, "")
    zone = labels.get(ZONE_LABEL) or labels.get(_OLD_ZONE_LABEL, "")
    return Locality(region, zone, labels.get(SUBZONE_LABEL, ""))


def _places(described: Mapping[Name, Workload]) -> Mapping[str, Place]:
    return {
        f"{name}.{namespace}": Place(item.locality, item.node)
        for (namespace, name), item in described.items()
        if item.node or any(item.locality)
    }


def _labels(described: Mapping[Name, Workload]) -> Mapping[str, Mapping[str, str]]:
    return {f"{name}.{namespace}": item.labels for (namespace, name), item in described.items()}


def nodes_of(part: EndpointSlice | Endpoints) -> Iterator[str | None]:
    """The nodes that a slice names, some more than once."""
    if isinstance(part, EndpointSlice):
        yield from (item.node_name for item in part.endpoints)
        return
    for subset in part.subsets:
        yield from (address.node_name for address in (*subset.addresses, *subset.not_ready_addresses))


def _listed(part: object) -> Iterator[tuple[Name, _Address]]:
    """The pods that a slice names, each with its address."""
    if isinstance(part, EndpointSlice) and part.address_type != "FQDN":
        for item in part.endpoints:
            name = pod_name(part.metadata.namespace, item.target_ref)
            ready = item.conditions is None or item.conditions.ready is not False
            if name is not None and item.addresses:
                yield name, _Address(item.addresses[0], ready)
    elif isinstance(part, Endpoints):
        for subset in part.subsets:
            for address in (*subset.addresses, *subset.not_ready_addresses):
                name = pod_name(part.metadata.namespace, address.target_ref)
                if name is not None:
                    yield name, _Address(address.ip, address in subset.addresses)


def pod_name(namespace: str, reference: Mapping[str, Any] | None) -> Name | None:
    """The pod that a `targetRef` in that namespace names; None when it is no pod."""
    if reference is None or reference.get("kind", "Pod") != "Pod" or not reference.get("name"):
        return None
    return str(reference.get("namespace") or namespace), str(reference["name"])
