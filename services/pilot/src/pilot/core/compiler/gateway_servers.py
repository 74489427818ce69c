"""The servers of a proxy's Gateways, merged by the address that they bind (xds.md §10). Pure.

Gateways come oldest first. On one address and port: servers of plain HTTP share one listener and one route
configuration; servers of TLS have a chain each, told apart by the server names; anything else is the first one's. What
is refused leaves a diagnostic with the Gateway's path.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from meshcore.hosts import hosts_for_namespace
from meshcore.model import Gateway
from meshcore.model.gateway import Server
from meshcore.model.sidecar import ServerTlsMode
from meshcore.xds.names import gateway_http_route, gateway_https_route

from pilot.core.compiler.address_families import ANYWHERE, Addresses
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.gateway_tls import unusable
from pilot.core.compiler.own_ports import reserved_ports
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic
from pilot.core.visibility.gateways import gateways_for

_FIRST_UNPRIVILEGED = 1024
_UNIX = "unix://"
_UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"


class Family(StrEnum):
    """What a listener of a gateway does with connections."""

    HTTP = "http"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, eq=False)
class GatewayServer:
    """One server that counts. `port` is what is bound; `hosts` are `namespace/host`, with `*` for every namespace."""

    config: Config[Gateway]
    server: Server
    port: int
    hosts: tuple[str, ...]

    @property
    def gateway(self) -> str:
        """`namespace/name`, as VirtualServices are bound to it."""
        return f"{self.config.namespace}/{self.config.name}"

    @property
    def route_name(self) -> str:
        """Its route configuration: shared by all plain HTTP on the port, its own when it ends TLS."""
        server = self.server
        if server.protocol.is_http:
            return gateway_http_route(self.port, server.bind)
        return gateway_https_route(server.port.number, server.port.name, self.gateway, server.bind)

    @property
    def redirects(self) -> bool:
        """Whether plain requests are sent to HTTPS."""
        return self.server.protocol.is_http and self.server.tls is not None and self.server.tls.https_redirect

    @property
    def is_auto_passthrough(self) -> bool:
        """Whether the server name names the cluster."""
        return self.server.tls is not None and self.server.tls.mode is ServerTlsMode.AUTO_PASSTHROUGH

    def hosts_for(self, namespace: str) -> tuple[str, ...]:
        """The hosts that a VirtualService of that namespace may claim."""
        return hosts_for_namespace(self.hosts, namespace)

    def names(self) -> tuple[str, ...]:
        """Its hosts without namespaces, each once."""
        return tuple(dict.fromkeys(host.partition("/")[2].lower() for host in self.hosts))


@dataclass(frozen=True, eq=False)
class GatewayListener:
    """One bound address."""

    bind: str
    port: int
    family: Family
    servers: tuple[GatewayServer, ...]
    also: tuple[str, ...] = ()
    """Further addresses of the same listener."""


@dataclass(frozen=True, eq=False)
class Merged:
    """All listeners of a class, sorted by address; `refused` says what was left out."""

    listeners: tuple[GatewayListener, ...]
    refused: tuple[Diagnostic, ...]

    @property
    def servers(self) -> Iterator[GatewayServer]:
        """Every server that counts."""
        return (server for listener in self.listeners for server in listener.servers)


def merged_servers(work: Compilation) -> Merged:
    """The same object while neither the Gateways nor the ports of the class change."""
    one, snapshot = work.proxy_class, work.snapshot
    every = ("gateways", one.type, one.labels, Same(snapshot.configs.get("Gateway")), Same(snapshot.ingress.gateways))
    gateways = work.memo(every, lambda: gateways_for(snapshot, one))
    reserved = reserved_ports(work)
    wildcards = (one.bind_address,) if one.bind_address else work.families.wildcards
    targets = _targets(work)
    place = Place(targets, wildcards, one.unprivileged, reserved)
    return work.memo(("gateway-servers", Same(gateways), place), lambda: _merged(gateways, place))


class Place(NamedTuple):
    """What of a proxy decides where its servers listen."""

    targets: tuple[tuple[int, int], ...]
    """Ports of its Services and where they lead, the first that counts first."""
    wildcards: Addresses
    unprivileged: bool
    reserved: frozenset[int]


def _targets(work: Compilation) -> tuple[tuple[int, int], ...]:
    """A Service may say that its ports are not those of Gateways (Knative's does)."""
    known = work.snapshot.registry.services
    served = work.proxy_class.served
    kept = {item.service for item in served if not (one := known.get(item.service)) or _UNTRANSLATED not in one.labels}
    return tuple((item.port, item.target) for item in served if item.service in kept)


@dataclass
class _Slot:
    family: Family
    servers: list[GatewayServer] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Which Gateway has a server name."""


def _merged(gateways: Iterable[Config[Gateway]], place: Place) -> Merged:
    slots: dict[tuple[str, int], _Slot] = {}
    problems: dict[Diagnostic, None] = {}
    for config in gateways:
        for server in config.object.spec.servers:
            found = _add(slots, config, server, place)
            if found:
                text = f"Server {server.port.name!r} of Gateway {config.namespace}/{config.name} is left out: {found}."
                problems[Diagnostic("gateway-server-refused", config.path, text)] = None
    first, *others = place.wildcards
    listeners = [
        GatewayListener(*bound, slot.family, tuple(slot.servers), tuple(others) if bound[0] == first else ())
        for bound, slot in sorted(slots.items())
    ]
    return Merged(tuple(listeners), tuple(problems))


def _add(slots: dict[tuple[str, int], _Slot], config: Config[Gateway], server: Server, place: Place) -> str:
    """Why the server cannot be had; empty when it can."""
    port = _bound_port(server, place)
    if port in place.reserved:
        return f"port {port} is one of the proxy's own"
    if place.unprivileged and 0 < port < _FIRST_UNPRIVILEGED:
        return f"the proxy may not bind port {port}, which is below {_FIRST_UNPRIVILEGED}"
    bind = place.wildcards[0] if server.bind in ANYWHERE else server.bind
    hosts = tuple(_scoped(host, config.namespace) for host in server.hosts)
    made = GatewayServer(config, server, port, hosts)
    family = _family(server)
    refusal = unusable(server) or _conflict(slots.get((bind, port)), made, family)
    if refusal:
        return refusal
    slot = slots.setdefault((bind, port), _Slot(family))
    slot.names.update(dict.fromkeys(made.names(), made.gateway))
    slot.servers.append(made)
    return ""


def _conflict(slot: _Slot | None, made: GatewayServer, family: Family) -> str:
    if slot is None:
        return ""
    if slot.family is not family:
        return f"port {made.port} is {slot.family} already, by an older server"
    if family is Family.TCP:
        return f"port {made.port} is taken by an older TCP server"
    taken = next((name for name in made.names() if name in slot.names), None) if family is Family.TLS else None
    return "" if taken is None else f"host {taken} on port {made.port} is taken by Gateway {slot.names[taken]}"


def _family(server: Server) -> Family:
    """A plain HTTP port with TLS settings is a redirect, so it is HTTP."""
    if server.protocol.is_http:
        return Family.HTTP
    return Family.TLS if server.tls is not None else Family.TCP


def _bound_port(server: Server, place: Place) -> int:
    """The target port of the gateway's own Service; the port itself when no Service has it; none on a socket."""
    number = server.port.number
    if server.bind.startswith(_UNIX):
        return 0
    return next((target for port, target in place.targets if port == number), number)


def _scoped(host: str, namespace: str) -> str:
    place, slash, name = host.partition("/")
    if not slash:
        return f"*/{host}".lower()
    return f"{namespace if place == '.' else place}/{name.lower()}"
