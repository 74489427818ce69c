"""A service as every registry describes it: a host, ports, addresses, and where its endpoints come from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from meshcore.protocol import Protocol
from meshcore.xds.origin import ConfigRef

from pilot.core.ip_families import IpFamilies

GALLEY = "galley"
"""Provider of the objects in the config API."""

KUBERNETES_HOST = ".svc."
"""Part of every host of a Kubernetes Service."""

LOCAL = "Local"
"""The internal traffic policy that keeps to the caller's node."""
DISTRIBUTION = "networking.istio.io/traffic-distribution"
"""Annotation of services, entries and namespaces."""


_WRITTEN = {"Service": ("v1", "service"), "Sidecar": ("networking.istio.io/v1", "sidecar")}


class ServiceKey(NamedTuple):
    """Hosts are unique per namespace only: two namespaces may each describe the same external host."""

    host: str
    namespace: str


class Session(NamedTuple):
    """How clients of a service stay with one endpoint: a cookie of that name and path, or a header (no path)."""

    name: str
    path: str = ""


_SESSION = "istio.io/persistent-session"
"""Label of services: `NAME` or `NAME:PATH` of a cookie; with `-header` the name of a header."""


class Resolution(StrEnum):
    """How the addresses behind the host are found."""

    ENDPOINTS = "endpoints"
    """The registry knows them (Envoy: EDS)."""
    DNS = "dns"
    """All addresses of DNS names, resolved by the proxy (Envoy: STRICT_DNS)."""
    DNS_ROUND_ROBIN = "dns-round-robin"
    """One address of a DNS name at a time (Envoy: LOGICAL_DNS)."""
    NONE = "none"
    """The address that the caller dialled (Envoy: ORIGINAL_DST)."""
    DYNAMIC_DNS = "dynamic-dns"
    """The name in the request, resolved when it is asked for."""
    ALIAS = "alias"
    """Another name of a service (Kubernetes' ExternalName); it has no cluster of its own."""


class Distribution(StrEnum):
    """Kubernetes' `trafficDistribution`, and Istio's annotation of that name."""

    SAME_ZONE = "PreferSameZone"
    SAME_NODE = "PreferSameNode"

    @classmethod
    def parse(cls, text: str | None) -> "Distribution | None":
        """`PreferClose` is the older word for the same zone; None for anything that is not known."""
        return _DISTRIBUTIONS.get((text or "").lower())


_DISTRIBUTIONS = {
    "preferclose": Distribution.SAME_ZONE,
    "prefersamezone": Distribution.SAME_ZONE,
    "prefersamenode": Distribution.SAME_NODE,
}


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a service; `target` is the workload's port number, the name of one of its ports, or 0 for the
    same."""

    number: int
    name: str
    protocol: Protocol
    target: int | str = 0


@dataclass(frozen=True)
class Service:
    """One service of one provider. `created` is an RFC 3339 time, the empty string counts as the oldest.

    `addresses` are the service's own (virtual) ones. `selector` None means that nothing is selected: endpoints are
    listed.
    """

    host: str
    namespace: str
    name: str
    provider: str = GALLEY
    kind: str = "Service"
    created: str = ""
    ports: tuple[Port, ...] = ()
    addresses: tuple[str, ...] = ()
    resolution: Resolution = Resolution.ENDPOINTS
    headless: bool = False
    export_to: tuple[str, ...] = ()
    external: bool = False
    selector: Mapping[str, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    subject_alt_names: tuple[str, ...] = ()
    alias_of: str = ""
    wants_address: bool = False
    """Whether it is given an address (`auto_addresses`)."""
    given_addresses: tuple[str, ...] = ()
    """One of each family, once given."""
    races_addresses: bool = False
    """Whether connections to a DNS name try its addresses of both families, and keep what answers first."""
    distribution: Distribution | None = None
    """Which endpoints are preferred where no DestinationRule says it."""
    node_local: bool = False
    """Whether only endpoints on the caller's own node are used (`internalTrafficPolicy: Local`)."""
    revision: int = field(default=0, compare=False)
    """The one that last changed any of this."""

    @cached_property
    def key(self) -> ServiceKey:
        """Host and namespace."""
        return ServiceKey(self.host, self.namespace)

    @cached_property
    def _seen(self) -> dict[tuple[IpFamilies, bool], "Service"]:
        return {}

    def seen_by(self, families: IpFamilies, *, given: bool) -> "Service":
        """As a caller with addresses of these families sees it, with or without addresses that were given; always the
        same object. What a ServiceEntry says of its addresses stands, whatever the caller has (as in Istio)."""
        addresses = self.addresses
        if given and self.given_addresses:
            addresses = tuple(filter(families.include, self.given_addresses))
        elif self.from_kubernetes:
            addresses = tuple(filter(families.include, addresses))
        if addresses == self.addresses:
            return self
        found = self._seen.get((families, given))
        if found is None:
            found = self._seen[families, given] = replace(self, addresses=addresses)
        return found

    @property
    def session(self) -> Session | None:
        """What its labels ask for; nothing without a name."""
        name, _, path = self.labels.get(_SESSION, "").partition(":")
        if name:
            return Session(name, path or "/")
        header = self.labels.get(f"{_SESSION}-header", "")
        return Session(header) if header else None

    @property
    def from_kubernetes(self) -> bool:
        """Whether it is a Kubernetes Service, which wins over a ServiceEntry for the same host."""
        return self.kind == "Service"

    @property
    def path(self) -> str:
        """The object that describes it, as diagnostics and metadata name objects."""
        group, kind = _WRITTEN.get(self.kind, ("networking.istio.io/v1", "service-entry"))
        return f"/apis/{group}/namespaces/{self.namespace}/{kind}/{self.name}"

    @property
    def ref(self) -> ConfigRef:
        """How a resource that is made of it names the object that describes it."""
        return ConfigRef(self.kind, self.namespace, self.name, self.revision)

    @property
    def age(self) -> tuple[str, str, str]:
        """Sorts the oldest first: creation, then name, then namespace."""
        return self.created, self.name, self.namespace

    def port(self, number: int) -> Port | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)


def preferred(candidates: tuple[Service, ...]) -> Service | None:
    """The service that stands for a host of one namespace: Kubernetes' own first, then the oldest."""
    return min(candidates, key=lambda service: (not service.from_kubernetes, service.age), default=None)
