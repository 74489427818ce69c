"""The kinds of Kubernetes' core group that are registry input (v1)."""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from meshcore.model.base import Bool, Int32, IntOrString, Labels, ManagedObject, MeshModel, MeshObject, StatusObject

_ACRONYMS = {
    "cluster_ip": "clusterIP",
    "cluster_ips": "clusterIPs",
    "external_ips": "externalIPs",
    "load_balancer_ip": "loadBalancerIP",
}


def _kubernetes_name(name: str) -> str:
    """Camel case, but for the names in which Kubernetes writes an acronym in capitals."""
    return _ACRONYMS.get(name) or to_camel(name)


class ServicePort(MeshModel):
    """A port; `target_port` is a number or the name of a container port, and `port` when absent."""

    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    port: Int32
    target_port: IntOrString | None = None
    node_port: Int32 = 0


class ServiceSpec(MeshModel):
    """Ports, addresses and the selector of the endpoints."""

    ports: tuple[ServicePort, ...] = ()
    selector: Labels = {}
    type: str = "ClusterIP"
    cluster_ip: str = ""
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    external_name: str = ""
    session_affinity: str = "None"
    session_affinity_config: ManagedObject | None = None
    load_balancer_ip: str = ""
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] = ()
    allocate_load_balancer_node_ports: Bool | None = None
    external_traffic_policy: str = ""
    internal_traffic_policy: str | None = None
    traffic_distribution: str | None = None
    health_check_node_port: Int32 = 0
    publish_not_ready_addresses: Bool = False
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None

    model_config = ConfigDict(alias_generator=_kubernetes_name)


class Service(StatusObject):
    """A name for a set of endpoints."""

    spec: ServiceSpec = ServiceSpec()


class NamespaceSpec(MeshModel):
    """Finalizers of the namespace."""

    finalizers: tuple[str, ...] = ()


class Namespace(StatusObject):
    """A scope of names."""

    spec: NamespaceSpec = NamespaceSpec()


class ServiceAccount(MeshObject):
    """The identity of workloads."""

    secrets: tuple[ManagedObject, ...] = ()
    image_pull_secrets: tuple[ManagedObject, ...] = ()
    automount_service_account_token: Bool | None = None


class ConfigMap(MeshObject):
    """Text and bytes (base64) by key."""

    data: Mapping[str, str] = {}
    binary_data: Mapping[str, str] = {}
    immutable: Bool | None = None


class EndpointAddress(MeshModel):
    """One address of an Endpoints object."""

    ip: str
    hostname: str = ""
    node_name: str | None = None
    target_ref: Mapping[str, Any] | None = None


class EndpointPort(MeshModel):
    """One port of an Endpoints object."""

    name: str = ""
    port: Int32
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSubset(MeshModel):
    """Every address with every port."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(MeshObject):
    """The endpoints of the Service of the same name (the older form)."""

    subsets: tuple[EndpointSubset, ...] = ()
