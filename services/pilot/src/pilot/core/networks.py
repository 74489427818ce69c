"""Networks of a mesh: in which one an endpoint is, and the gateways through which others reach it. Pure.

A gateway is a Service with the label `topology.istio.io/network` or one that MeshNetworks names, at each of its
external addresses (of its load balancer, and `externalIPs`), or an address of MeshNetworks. Names are not resolved:
EDS takes addresses only (Istio: model/network.go, kube/controller/network.go).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import lcm
from typing import Any, NamedTuple

from meshcore.errors import MeshError
from meshcore.model import ConfigMap, Namespace, Service
from meshcore.model.mesh_config import CONFIG_MAP_NAME, ROOT_NAMESPACE
from meshcore.model.mesh_networks import MeshNetworks, parse_mesh_networks

from pilot.core.config import Config, Configs, Name
from pilot.core.registry.endpoint import ISTIO_TLS, NETWORK_LABEL, Endpoint
from pilot.core.registry.kubernetes import service_host

GATEWAY_PORT_LABEL = "networking.istio.io/gatewayPort"
NETWORKS_KEY = "meshNetworks"
_USUAL_PORT = 15443
_OWN_REGISTRY = "Kubernetes"


class NetworkGateway(NamedTuple):
    """Where a network is entered."""

    address: str
    port: int


@dataclass(frozen=True)
class Networks:
    """What is known of networks; the empty one is a mesh in which everybody reaches everybody."""

    gateways: Mapping[str, tuple[NetworkGateway, ...]] = field(default_factory=dict)
    """By network, sorted; a network without a gateway is reached directly."""
    system: str = ""
    """The network of endpoints that say nothing: the label of the root namespace."""
    registries: tuple[tuple[str, str], ...] = ()
    """Registry (a cluster's name) and network."""
    ranges: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()
    written: MeshNetworks = field(default_factory=MeshNetworks)
    source: object = field(default=None, compare=False, repr=False)
    """The ConfigMap of which `written` is."""

    @property
    def scale(self) -> int:
        """By which weights are multiplied, so that they can be divided among any network's gateways."""
        return lcm(*(len(found) for found in self.gateways.values()))

    def network_of(self, item: Endpoint) -> str:
        """What the endpoint says, else the root namespace, else its registry, else its address."""
        said = item.network or self.system or dict(self.registries).get(item.cluster or _OWN_REGISTRY, "")
        if said or not self.ranges:
            return said
        try:
            address = ip_address(item.address)
        except ValueError:
            return ""
        return next((name for part, name in self.ranges if address.version == part.version and address in part), "")


NO_NETWORKS = Networks()


class Crossing(NamedTuple):
    """Networks as a proxy of one of them sees them; an empty name is that of no network."""

    network: str = ""
    networks: Networks = NO_NETWORKS

    def gateways_to(self, item: Endpoint) -> tuple[NetworkGateway, ...]:
        """Through which the endpoint is reached; none: directly."""
        network = self.networks.network_of(item)
        if not network or network == self.network:
            return ()
        return self.networks.gateways.get(network, ())


DIRECT = Crossing()


def through_gateways(
    endpoints: Iterable[Endpoint],
    crossing: Crossing,
    accepts_mtls: Callable[[Endpoint], bool],
    includes: Callable[[str], bool],
) -> list[Endpoint]:
    """Endpoints of one place as the proxy reaches them: the gateways of other networks, of its address families
    (`includes`), in the place of what is there and takes mesh TLS, whose server name tells a gateway where to."""
    scale = crossing.networks.scale
    made: list[Endpoint] = []
    shares: dict[NetworkGateway, Endpoint] = {}
    for item in endpoints:
        every = crossing.gateways_to(item)
        gateways = [gateway for gateway in every if includes(gateway.address)]
        if not every:
            made.append(replace(item, weight=item.weight * scale))
        elif accepts_mtls(item):
            for gateway in gateways:
                share = item.weight * scale // len(gateways)
                known = shares.get(gateway)
                shares[gateway] = _entrance(item, gateway, share + (known.weight if known else 0))
    return [*made, *(shares[gateway] for gateway in sorted(shares))]


def _entrance(item: Endpoint, gateway: NetworkGateway, weight: int) -> Endpoint:
    """The gateway as an endpoint; of what is behind it only what decides how to speak to it."""
    return Endpoint(
        address=gateway.address,
        port=gateway.port,
        port_name=item.port_name,
        namespace="",  # no policy of its namespace counts: it takes mesh TLS
        labels={},
        locality=item.locality,
        tls_mode=ISTIO_TLS,
        weight=weight,
    )


def networks_of(configs: Configs, root: str, before: Networks = NO_NETWORKS) -> Networks:
    """The networks of a mesh by its objects and the name of its root namespace; `before` when they are the same."""
    services: Mapping[Name, Config[Service]] = configs.get("Service", {})
    mesh: Config[ConfigMap] | None = configs.get("ConfigMap", {}).get((ROOT_NAMESPACE, CONFIG_MAP_NAME))
    system: Config[Namespace] | None = configs.get("Namespace", {}).get(("", root))
    written = before.written if mesh is before.source else _mesh_networks(mesh, before.written)
    found: dict[str, set[NetworkGateway]] = {}
    for network, gateway in (*_of_services(services.values(), written), *_of_addresses(written)):
        found.setdefault(network, set()).add(gateway)
    parts = [(name, item) for name, network in sorted(written.networks.items()) for item in network.endpoints]
    after = Networks(
        {network: tuple(sorted(gateways)) for network, gateways in sorted(found.items())},
        system.object.metadata.labels.get(NETWORK_LABEL, "") if system is not None else "",
        tuple((item.from_registry, name) for name, item in parts if item.from_registry),
        tuple((ip_network(item.from_cidr, strict=False), name) for name, item in parts if item.from_cidr),
        written,
        mesh,
    )
    return before if after == before and mesh is before.source else after


def is_gateway(service: Service, networks: Networks) -> bool:
    """Whether a Service is one into a network, or was."""
    return NETWORK_LABEL in service.metadata.labels or _host(service) in _named(networks.written)


def _host(service: Service) -> str:
    return service_host(service.metadata.name, service.metadata.namespace)


def _named(written: MeshNetworks) -> Mapping[str, list[tuple[str, int]]]:
    """Networks and ports by the names of the Services that are their gateways."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, network in written.networks.items():
        for gateway in network.gateways:
            if gateway.registry_service_name:
                found.setdefault(gateway.registry_service_name.lower(), []).append((name, gateway.port))
    return found


def _of_services(services: Iterable[Config[Service]], written: MeshNetworks) -> Iterator[tuple[str, NetworkGateway]]:
    named = _named(written)
    for config in services:
        service = config.object
        network = service.metadata.labels.get(NETWORK_LABEL, "")
        if network:
            said = service.metadata.labels.get(GATEWAY_PORT_LABEL, "")
            port = int(said) if said.isascii() and said.isdecimal() else _USUAL_PORT
            entries = [(network, port)] if any(item.port == port for item in service.spec.ports) else []
        else:
            entries = named.get(_host(service), []) if named else []
        for name, port in entries:
            for address in external_addresses(service):
                yield name, NetworkGateway(address, port)


def _of_addresses(written: MeshNetworks) -> Iterator[tuple[str, NetworkGateway]]:
    for name, network in written.networks.items():
        for gateway in network.gateways:
            if gateway.address and _is_address(gateway.address):
                yield name, NetworkGateway(gateway.address, gateway.port)


def _mesh_networks(mesh: Config[ConfigMap] | None, before: MeshNetworks) -> MeshNetworks:
    """The last good ones while they cannot be read: Galley has refused such a document, another source may not."""
    if mesh is None:
        return MeshNetworks()
    try:
        return parse_mesh_networks(mesh.object.data.get(NETWORKS_KEY, ""))[0]
    except MeshError:
        return before


def external_addresses(service: Service) -> tuple[str, ...]:
    """Addresses at which a Service is reached from elsewhere: those of its load balancer, then `externalIPs`."""
    given = [item.get("ip") for item in balancer_ingress(service)] if service.spec.type == "LoadBalancer" else []
    every = (*(str(text) for text in given), *service.spec.external_ips)
    return tuple(dict.fromkeys(text for text in every if _is_address(text)))


def balancer_ingress(service: Service) -> list[Mapping[str, Any]]:
    """The places of its load balancer, as its status says: each with an `ip` or a `hostname`."""
    balancer = (service.status or {}).get("loadBalancer")
    listed = balancer.get("ingress") if isinstance(balancer, Mapping) else None
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list | tuple) else []


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
