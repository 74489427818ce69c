"""On which ports a workload serves, for which services, in which protocol. Pure.

A Sidecar with `ingress` says it all; otherwise services do.

Two services on one target port: the oldest decides (creation, then host); another protocol leaves a diagnostic.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from meshcore.protocol import Protocol
from meshcore.xds.origin import Origins, distinct

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.ingress_ports import Ingress, ingress_ports
from pilot.core.compiler.own_ports import reserved_ports
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import ProxyType
from pilot.core.registry import Port, Service


@dataclass(frozen=True)
class InboundPort:
    """One target port; `service` and `port` are the ones that decide, `services` all that are reached there."""

    target: int
    service: Service
    port: Port
    services: tuple[Service, ...]
    ingress: Ingress | None = None

    @property
    def makers(self) -> Origins:
        """The objects to which there is such a port."""
        found = [item.ref for item in self.services]
        return distinct([self.service.ref, *found] if self.ingress is not None else found)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Stands for it in keys of memos."""
        if self.ingress is None:
            return self.target, self.protocol, *map(Same, self.services)
        said = (self.ingress.bind, self.ingress.is_bound, self.ingress.socket, self.ingress.port)
        more: tuple[Hashable, ...] = (self.ingress.on_own_address, self.ingress.loopback, self.ingress.is_v6)
        more += (Same(self.ingress.pool), Same(self.ingress.tls), Same(self.service))
        return self.target, self.protocol, *said, *more, *map(Same, self.services)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the deciding service's port."""
        return self.port.protocol


def inbound_ports(work: Compilation) -> tuple[InboundPort, ...]:
    """Sorted by target port; ports of the mesh's own listeners are left out."""
    return tuple(_ports(work, reserved_ports(work)))


def inbound_conflicts(work: Compilation) -> tuple[Diagnostic, ...]:
    """Services that cannot have their protocol, or any listener at all, because another one has the port."""
    found = []
    for port in _ports(work, frozenset()):
        if port.target in reserved_ports(work):
            text = (
                f"Port {port.target} of {port.service.host} is one of the proxy's own ports: nothing is served there."
            )
            found.append(Diagnostic("inbound-port-reserved", port.service.path, text))
        for service in port.services[1:] if port.ingress is None else ():
            other = next((item for item in service.ports if _serves(work, service, item, port.target)), None)
            if other is not None and other.protocol is not port.protocol:
                text = (
                    f"Port {port.target} is {port.protocol} for {port.service.host}, "
                    f"so {service.host} cannot have {other.protocol} there."
                )
                found.append(Diagnostic("inbound-port-conflict", service.path, text))
    return tuple(found)


def _ports(work: Compilation, reserved: frozenset[int]) -> Iterable[InboundPort]:
    if work.proxy_class.type is not ProxyType.SIDECAR:
        return  # what a gateway serves is its Gateways' to say
    sidecar = work.scope.sidecar
    if sidecar is None or not sidecar.object.spec.ingress:
        yield from _of_services(work, reserved)
        return
    for target, service, port, reached, said in ingress_ports(work, sidecar):
        if target not in reserved:
            yield InboundPort(target, service, port, reached, said)


def _of_services(work: Compilation, reserved: frozenset[int]) -> Iterable[InboundPort]:
    services = work.snapshot.registry.services
    by_target: dict[int, list[tuple[Service, Port]]] = {}
    for served in work.proxy_class.served:
        service = services.get(served.service)
        port = service.port(served.port) if service else None
        if service is None or port is None or port.protocol is Protocol.UDP or served.target in reserved:
            continue
        by_target.setdefault(served.target, []).append((service, port))
    for target, found in sorted(by_target.items()):
        ordered = sorted(found, key=lambda item: (item[0].created, item[0].host, item[1].number))
        unique = {service.key: service for service, _ in ordered}
        yield InboundPort(target, *ordered[0], tuple(unique.values()))


def _serves(work: Compilation, service: Service, port: Port, target: int) -> bool:
    return any(item == (target, service.key, port.number) for item in work.proxy_class.served)
