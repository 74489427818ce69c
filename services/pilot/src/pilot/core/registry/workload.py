"""Workloads: WorkloadEntries written by hand, and those that registered themselves with a WorkloadGroup. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from meshcore.model import WorkloadEntry, WorkloadGroup
from meshcore.model.workload import WorkloadEntrySpec
from meshcore.xds.origin import ConfigRef

from pilot.core.registry.endpoint import ISTIO_TLS, NOWHERE, Endpoint, Locality, ShardKey, tls_mode_of
from pilot.core.registry.service import GALLEY, Port

REGISTERED = "registered"
"""Provider of the workloads that register over their agent's stream."""
REGISTRATION = "meshcore.io/registration"
"""Annotation of a WorkloadEntry that only shows a registration: a digest of what it was made of."""


@dataclass(frozen=True)
class RegisteredWorkload:
    """What a proxy that registers says about itself; the rest comes from its WorkloadGroup.

    `name` is unique in its namespace. `labels` are the node's own and win over the group's.
    """

    name: str
    namespace: str
    group: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    locality: Locality = NOWHERE
    network: str = ""
    cluster: str = ""
    healthy: bool = True


@dataclass(frozen=True)
class Workload:
    """Something that services can select; `ports` maps port names to numbers."""

    name: str
    namespace: str
    address: str
    shard: ShardKey
    group: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    locality: Locality = NOWHERE
    network: str = ""
    weight: int = 1
    tls_mode: str = ISTIO_TLS
    healthy: bool = True
    node: str = ""
    """The Kubernetes node that it runs on."""
    more_addresses: tuple[str, ...] = ()
    source: ConfigRef | None = field(default=None, compare=False)
    """The object that describes it; None for what a service lists itself."""

    @property
    def sort_key(self) -> tuple[ShardKey, str, str]:
        """A total order that does not depend on the order of arrival."""
        return self.shard, self.name, self.address

    def endpoint(self, port_name: str, number: int) -> Endpoint:
        """This workload as an endpoint of the service port of that name."""
        return Endpoint(
            address=self.address,
            more_addresses=self.more_addresses,
            port=number,
            port_name=port_name,
            namespace=self.namespace,
            labels=self.labels,
            locality=self.locality,
            service_account=self.service_account,
            tls_mode=self.tls_mode,
            healthy=self.healthy,
            network=self.network,
            weight=self.weight,
            workload=self.group or self.name,
            cluster=self.shard.cluster,
            node=self.node,
            source=self.source,
        )


def workload_of_spec(name: str, namespace: str, spec: WorkloadEntrySpec, labels: Mapping[str, str]) -> Workload:
    """A workload as a WorkloadEntry's spec describes it; also used for a ServiceEntry's inline endpoints."""
    return Workload(
        name=name,
        namespace=namespace,
        address=spec.address,
        shard=ShardKey(GALLEY, ""),
        ports=spec.ports,
        labels=labels,
        service_account=spec.service_account,
        locality=Locality.parse(spec.locality),
        network=spec.network,
        weight=spec.weight or 1,
        tls_mode=tls_mode_of(labels, spec.service_account),
    )


def workload_of_entry(entry: WorkloadEntry, revision: int = 0) -> Workload:
    """A WorkloadEntry; labels of the spec win over those of the metadata."""
    labels = {**entry.metadata.labels, **entry.spec.labels}
    made = workload_of_spec(entry.metadata.name, entry.metadata.namespace, entry.spec, labels)
    return replace(made, source=ConfigRef(entry.kind, *entry.namespaced_name, revision))


def group_labels(group: WorkloadGroup) -> dict[str, str]:
    """Labels that every workload of the group has: the group's metadata wins over the template."""
    return {**group.spec.template.labels, **(group.spec.metadata.labels if group.spec.metadata else {})}


def workload_of_registered(registered: RegisteredWorkload, group: WorkloadGroup) -> Workload:
    """The group's template, filled with what the proxy says about itself."""
    template = group.spec.template
    labels = {**group_labels(group), **registered.labels}
    return Workload(
        name=registered.name,
        namespace=registered.namespace,
        address=registered.address,
        shard=ShardKey(REGISTERED, registered.cluster),
        group=registered.group,
        ports=template.ports,
        labels=labels,
        service_account=registered.service_account or template.service_account,
        locality=registered.locality if any(registered.locality) else Locality.parse(template.locality),
        network=registered.network or template.network,
        weight=template.weight or 1,
        tls_mode=tls_mode_of(labels, registered.service_account or template.service_account),
        healthy=registered.healthy,
        source=ConfigRef(group.kind, *group.namespaced_name),
    )


def kubernetes_target(port: Port, ports: Mapping[str, int]) -> int | None:
    """The port number of a workload that a Kubernetes Service selects; None when a named target is unknown there.

    A number is the default, and a port of the workload with the service port's name wins over it.
    """
    if isinstance(port.target, str):
        return ports.get(port.target)
    return ports.get(port.name) or port.target or port.number


def entry_target(port: Port, ports: Mapping[str, int]) -> int:
    """The port number of a workload behind a ServiceEntry: its own map, the entry's targetPort, the port itself."""
    return ports.get(port.name) or (port.target if isinstance(port.target, int) else 0) or port.number
