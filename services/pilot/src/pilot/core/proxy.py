"""Who a proxy is, and the class of proxies that are served the same resources.

`classify` keeps what config can depend on, given what
the mesh's selectors read and which services the workload serves, so that replicas of one workload share one
`ProxyClass`. The named exception is interception mode NONE with an application address (the one-machine topology):
there the listeners bind the instance's own addresses, so the class holds them. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, NamedTuple

from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.labels import selects
from meshcore.model.default_proxy_config import ProxyHeaders

from pilot.core.certificate_sources import CertificateSources
from pilot.core.ip_families import IpFamilies, families_of
from pilot.core.registry import Locality, Port, Service, ServiceKey
from pilot.core.registry.endpoint import HOST_LABEL, NOWHERE, TLS_MODE_LABEL
from pilot.core.registry.pods import UNKNOWN_PLACE
from pilot.core.registry.workload import entry_target, group_labels, kubernetes_target
from pilot.core.selection import Selection


class ProxyType(StrEnum):
    """What kind of proxy it is."""

    SIDECAR = "sidecar"
    ROUTER = "router"
    WAYPOINT = "waypoint"


class Interception(StrEnum):
    """How traffic reaches the proxy."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


AGENT_GENERATOR = "agent"
"""The agent's own light stream: it is never compiled for."""
OBSERVER_GENERATOR = "event"
"""Of a client that asks about proxies and is none, as istioctl."""
GRPC_GENERATOR = "grpc"
"""A workload without a proxy, whose gRPC library is the client of xDS."""


class ServedPort(NamedTuple):
    """One port of a service that the workload serves; `target` is where the application listens."""

    target: int
    service: ServiceKey
    port: int


class GatewayTopology(NamedTuple):
    """What stands before a gateway, as the proxy's own ProxyConfig says (MeshConfig has the default)."""

    trusted_proxies: int = 0
    forward_client_cert: str = ""
    """A word of `forwardClientCertDetails`; empty: not said."""
    proxy_protocol: bool = False


@dataclass(frozen=True, slots=True)
class ProxyClass:
    """All of a proxy that a compiled resource may depend on; hashable, so it is a key.

    `instance_ips` are set only where traffic is not captured or there is no proxy, `app_address` only where listeners
    bind the instance's own addresses.
    """

    type: ProxyType
    namespace: str
    service_account: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    locality: Locality = NOWHERE
    network: str = ""
    cluster: str = ""
    version: str = ""
    interception: Interception = Interception.REDIRECT
    domain: str = DEFAULT_DOMAIN
    search: str = ""
    """The DNS domain of its workload where that is none of Kubernetes'."""
    families: IpFamilies = IpFamilies.V4
    generator: str = ""
    served: tuple[ServedPort, ...] = ()
    instance_ips: tuple[str, ...] = ()
    app_address: str = ""
    http_proxy_port: int = 0
    status_port: int = 15020
    """The agent's port; a service on it is the agent's business."""
    unprivileged: bool = False
    """Whether it may not bind ports below 1024."""
    captures_dns: bool = False
    """Whether its workload's DNS questions are answered from the name table, with addresses that were given out."""
    topology: GatewayTopology | None = None
    """None: as MeshConfig says."""
    headers: ProxyHeaders | None = None
    """Which headers of its own it adds; None: as MeshConfig says."""
    logs_to_service: bool = False
    """Whether it was started with an access log service."""
    audits: bool = False
    """Whether its agent takes access records."""
    fetches: bool = False
    """Whether its agent fetches modules whose checksum nobody knows, and serves extensions made of them."""
    certificates: CertificateSources | None = None
    """Where its own certificates come from; None: from the agent, under the usual names."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Text of the node's metadata under the keys that some config reads."""
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        values = tuple(getattr(self, name) for name in _DECIDING)
        object.__setattr__(self, "_hash", hash(values))

    def __hash__(self) -> int:
        """Counted once: it is a key wherever a stream is looked at."""
        return self._hash

    @property
    def label_map(self) -> dict[str, str]:
        """The labels that selectors read."""
        return dict(self.labels)

    @property
    def on_own_addresses(self) -> bool:
        """Whether every listener binds the instance's address (one-machine topology)."""
        return self.interception is Interception.NONE and bool(self.app_address)

    @property
    def bind_address(self) -> str:
        """The address of this class's own listeners; empty unless `on_own_addresses`."""
        return self.instance_ips[0] if self.on_own_addresses else ""


_DECIDING = tuple(one.name for one in fields(ProxyClass) if one.compare)


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy: `id` is `pod.namespace`, as debug pages show it. Labels are the node's own, of when it started."""

    id: str
    type: ProxyType
    namespace: str
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: Locality = NOWHERE
    network: str = ""
    cluster: str = ""
    version: str = ""
    interception: Interception = Interception.REDIRECT
    domain: str = DEFAULT_DOMAIN
    search: str = ""
    generator: str = ""
    instance_ips: tuple[str, ...] = ()
    app_address: str = ""
    http_proxy_port: int = 0
    status_port: int = 15020
    unprivileged: bool = False
    captures_dns: bool = False
    headers: ProxyHeaders | None = None
    topology: GatewayTopology | None = None
    audits: bool = False
    fetches: bool = False
    logs_to_service: bool = False
    certificates: CertificateSources | None = None
    auto_register_group: str = ""
    workload: str = ""
    pod_ports: Mapping[str, int] = field(default_factory=dict)
    node_id: str = ""
    identity: str = ""
    """The SPIFFE id that its certificate proves; empty on the plaintext port."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metadata_size: int = field(default=0, repr=False, compare=False)
    """Bytes of it, as the node came."""

    @property
    def is_agent(self) -> bool:
        """Whether this is an agent's own stream, for which nothing is compiled."""
        return self.generator == AGENT_GENERATOR

    def as_envoy(self) -> "Proxy":
        """The Envoy beside an agent."""
        return replace(self, generator="") if self.is_agent else self

    @property
    def is_observer(self) -> bool:
        """Whether this is the stream of somebody who only asks about others."""
        return self.generator == OBSERVER_GENERATOR

    @property
    def proxy_class(self) -> ProxyClass:
        """The class in a mesh whose selectors read nothing and in which it serves nothing; see `classify`."""
        return classify(self, Selection())


def classify(proxy: Proxy, selection: Selection) -> ProxyClass:
    """The proxy's class in the mesh of that selection (`MeshSnapshot.selection`).

    It stays the same as long as the selection is the same object.
    """
    group = selection.groups.get((proxy.namespace, proxy.auto_register_group)) if proxy.auto_register_group else None
    place = selection.places.get(proxy.id, UNKNOWN_PLACE) if proxy.type is not ProxyType.WAYPOINT else UNKNOWN_PLACE
    node = place.node or text_of(proxy.metadata, "NODE_NAME")
    labels = {HOST_LABEL: node} if node else {}
    own = proxy.labels if proxy.auto_register_group else selection.labels_of(proxy.id, proxy.labels, proxy.metadata)
    labels |= {**(group_labels(group) if group else {}), **own}
    ports = {**(group.spec.template.ports if group else {}), **proxy.pod_ports}
    on_own = proxy.interception is Interception.NONE and bool(proxy.app_address)
    bare = proxy.generator == GRPC_GENERATOR
    read = selection.read_keys | {TLS_MODE_LABEL} if bare else selection.read_keys
    return ProxyClass(
        type=proxy.type,
        namespace=proxy.namespace,
        service_account=proxy.service_account,
        labels=tuple(sorted((key, value) for key, value in labels.items() if key in read)),
        locality=place.locality if any(place.locality) else proxy.locality,
        network=proxy.network,
        cluster=proxy.cluster,
        version=proxy.version,
        interception=proxy.interception,
        domain=proxy.domain,
        search=proxy.search,
        families=families_of(proxy.instance_ips),
        generator=proxy.generator,
        served=tuple(sorted(set(_served(proxy, selection, labels, ports)))),
        instance_ips=proxy.instance_ips if bare or proxy.interception is Interception.NONE else (),
        app_address=proxy.app_address if on_own else "",
        http_proxy_port=proxy.http_proxy_port,
        status_port=proxy.status_port,
        unprivileged=proxy.unprivileged and proxy.type is ProxyType.ROUTER,
        captures_dns=proxy.captures_dns,
        topology=proxy.topology,
        headers=proxy.headers,
        audits=proxy.audits,
        fetches=proxy.fetches,
        logs_to_service=proxy.logs_to_service,
        certificates=proxy.certificates,
        metadata=tuple(
            (key, text) for key in sorted(selection.read_metadata) if (text := text_of(proxy.metadata, key))
        ),
    )


def _served(
    proxy: Proxy, selection: Selection, labels: Mapping[str, str], ports: Mapping[str, int]
) -> list[ServedPort]:
    found: list[ServedPort] = []
    if proxy.type is ProxyType.WAYPOINT:
        return found
    for service in selection.selecting.get(proxy.namespace, ()):
        if service.selector and selects(service.selector, labels):
            for port in service.ports:
                target = _target(service, port, ports)
                if target is not None:
                    found.append(ServedPort(target, service.key, port.number))
    for address in proxy.instance_ips:
        found += [
            ServedPort(listed.target, listed.service, listed.port)
            for listed in selection.by_address.get(address, ())
            if listed.service.namespace == proxy.namespace
        ]
    return found


def _target(service: Service, port: Port, ports: Mapping[str, int]) -> int | None:
    return kubernetes_target(port, ports) if service.from_kubernetes else entry_target(port, ports)


def text_of(metadata: Mapping[str, Any], key: str) -> str:
    """What a node's metadata says under that key; empty where that is no text."""
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""
