"""Which outbound listeners there are and what shares them: same-port conflicts are decided here. Pure.

Services come oldest first. On one bind address and port: HTTP joins HTTP (virtual hosts tell them apart); HTTP and TCP
(or sniffed) share by chains; of two TCP services that match the same connections the older one wins and a diagnostic
says so.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

from meshcore.protocol import Protocol
from meshcore.xds.names import service_route_name
from meshcore.xds.origin import ConfigRef, Origins, distinct

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.dynamic_dns import is_dynamic
from pilot.core.compiler.host_rules import routes_of_bytes
from pilot.core.compiler.tcp_routes import TcpTarget, distinct_networks, tcp_targets
from pilot.core.diagnostics import Diagnostic
from pilot.core.registry import Port, Resolution, Service

_MAKERS = 4
"""Services that are named as the makers of a listener that many share."""
_SERVER_FIRST = frozenset({Protocol.MONGO, Protocol.MYSQL})


class Planned(NamedTuple):
    """One listener; hashable, so it is its own memo key."""

    bind: str
    port: int
    route_name: str
    sniffs_service: bool
    grpc_web: bool
    dynamic_dns: bool
    targets: tuple[TcpTarget, ...]
    makers: Origins
    """The first of the services that have the port."""
    is_bound: bool = False
    """Whether the workload dials it, instead of being captured on its way elsewhere."""
    also: tuple[str, ...] = ()
    """Further addresses of the same listener."""


class Plan(NamedTuple):
    """All outbound listeners, sorted, and what could not be had."""

    listeners: tuple[Planned, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass
class _Slot:
    also: tuple[str, ...] = ()
    route_name: str = ""
    sniffs_service: bool = False
    grpc_web: bool = False
    dynamic_dns: bool = False
    targets: list[TcpTarget] = field(default_factory=list)
    makers: list[ConfigRef] = field(default_factory=list)
    taken: dict[tuple[str, str], str] = field(default_factory=dict)
    """Which service has connections to a subnet (empty: any) with a server name (empty: any)."""
    asked: set[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=set)
    """The matches (subnets, server names) that were asked for: whoever asks for the same once more gets nothing."""
    protocols: set[Protocol] = field(default_factory=set)


@dataclass
class _Making:
    work: Compilation
    binds: tuple[str, ...] = ()
    """Of a listener that is shared by all, whatever their addresses."""
    slots: dict[tuple[str, int], _Slot] = field(default_factory=dict)
    beside: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    """Further addresses of listeners, and the listener (by its first one) of each."""
    problems: list[Diagnostic] = field(default_factory=list)

    def service(self, service: Service) -> None:
        for port in service.ports:
            hosts = self.work.scope.hosts_on(port.number)
            if port.number not in self._own_ports and (hosts is None or service.host in hosts):
                self.port(service, port)

    def port(self, service: Service, port: Port) -> None:
        if service.resolution is Resolution.ALIAS or port.protocol is Protocol.UDP:
            return
        if service.resolution is Resolution.DYNAMIC_DNS and not is_dynamic(service, port):
            self._conflict(service, port, "hosts of HTTP and TLS ports alone are looked up")
            return
        if port.protocol.is_http:
            slot = self._slot(self.binds or self.work.families.wildcards, port.number)
            slot.route_name = str(port.number)
            slot.grpc_web |= port.protocol is Protocol.GRPC_WEB
            slot.dynamic_dns |= is_dynamic(service, port)
            if len(slot.makers) < _MAKERS:
                slot.makers.append(service.ref)
        else:
            self._bytes(service, port)

    @property
    def _own_ports(self) -> tuple[int, int]:
        return self.work.mesh.proxy_listen_port, self.work.mesh.proxy_inbound_listen_port

    def _bytes(self, service: Service, port: Port) -> None:
        targets, problems = tcp_targets(self.work, service, port, by_address=not self.binds)
        self.problems.extend(problems)
        wildcards = self.work.families.wildcards
        for binds, subnets in [(self.binds, ())] if self.binds else _binds(self.work, service):
            slot = self._slot(binds, port.number)
            if (
                slot.protocols
                and port.protocol not in slot.protocols
                and (slot.protocols | {port.protocol}) & _SERVER_FIRST
            ):
                self._conflict(service, port, "a server that speaks first cannot share it")
                continue
            slot.protocols.add(port.protocol)
            if port.protocol is Protocol.AUTO:
                own = binds not in (wildcards, self.binds)
                slot.route_name = slot.route_name or (
                    service_route_name(service.host, port.number) if own else str(port.number)
                )
                slot.sniffs_service = own
            for target in targets:
                self._add(slot, _narrowed(target, subnets), service, port)

    def _slot(self, binds: tuple[str, ...], number: int) -> _Slot:
        """The listener of the first address; where an older service's has that one beside its own, that listener.
        Envoy refuses a second one."""
        place = (binds[0], number)
        place = self.beside.get(place, place)
        if place not in self.slots:
            free = [(address, number) for address in binds[1:] if (address, number) not in self.slots]
            also = tuple(address for address, _ in free if (address, number) not in self.beside)
            self.beside.update(dict.fromkeys(((address, number) for address in also), place))
            self.slots[place] = _Slot(also)
        return self.slots[place]

    def _add(self, slot: _Slot, target: TcpTarget, service: Service, port: Port) -> None:
        """Envoy refuses a listener in which two chains match the same: what is taken is left out."""
        subnets, names = target.subnets or ("",), target.server_names or ("",)
        if (subnets, names) in slot.asked:
            # Many hosts of one TLS rule ask for the same names: looking at each pair again would cost their square.
            free, names = subnets, ()
        else:
            slot.asked.add((subnets, names))
            free = tuple(subnet for subnet in subnets if not any((subnet, name) in slot.taken for name in names))
            if not free:
                free = subnets
                names = tuple(name for name in names if not any((subnet, name) in slot.taken for subnet in subnets))
        if not names:
            owner = next(
                slot.taken[pair] for pair in product(subnets, target.server_names or ("",)) if pair in slot.taken
            )
            if owner != service.host:
                self._conflict(service, port, f"{owner} is older and takes the same connections")
            return
        slot.taken.update(dict.fromkeys(product(free, names), service.host))
        kept = replace(target, subnets=tuple(filter(None, free)), server_names=tuple(filter(None, names)))
        slot.targets.append(kept)

    def _conflict(self, service: Service, port: Port, reason: str) -> None:
        text = f"Port {port.number} of {service.host} has no listener of its own: {reason}."
        self.problems.append(Diagnostic("outbound-port-conflict", service.path, text))


def plan(work: Compilation) -> Plan:
    """The listeners of a class whose traffic is captured; classes that see the same share them.

    HTTP depends on the ports of services alone. Bytes depend on their rules, too, and on VirtualServices: with one for
    bytes, which leads anywhere, on all of them.
    """
    scope, one = work.scope, work.proxy_class
    services = scope.services
    routes = routes_of_bytes(work)
    ports = tuple((listener.port.number if listener.port else 0, hosts) for listener, hosts in scope.ports)
    key = (one.type, one.domain, work.families, ports, (one.namespace, one.labels) if routes else ())
    rules = (work.rules, *routes) if routes else tuple(work.rule(service) for service in services.of_bytes)
    endpoints = tuple(work.endpoints(service) for service in services.headless)
    inputs = (services, work.mesh, *rules, None, *endpoints)
    return work.newest_of_all(("outbound plan", key), inputs, lambda _: _plan(work))


def _plan(work: Compilation) -> Plan:
    making = _Making(work)
    for service in work.scope.services:
        making.service(service)
    return _planned(making)


def plan_at(
    work: Compilation, binds: tuple[str, ...], number: int, protocol: Protocol, hosts: Container[str], *, is_bound: bool
) -> Plan:
    """The one listener of these hosts on one port and its addresses, in the protocol that the listener says."""
    making = _Making(work, binds)
    for service in work.scope.services:
        port = service.port(number)
        if service.host in hosts and port is not None:
            making.port(service, replace(port, protocol=protocol))
    return _planned(making, is_bound=is_bound)


def _planned(making: _Making, *, is_bound: bool = False) -> Plan:
    listeners = tuple(
        Planned(
            bind,
            port,
            slot.route_name,
            slot.sniffs_service,
            slot.grpc_web,
            slot.dynamic_dns,
            tuple(slot.targets),
            distinct(slot.makers),
            is_bound,
            slot.also,
        )
        for (bind, port), slot in sorted(making.slots.items())
    )
    return Plan(listeners, tuple(dict.fromkeys(making.problems)))


def _binds(work: Compilation, service: Service) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(bind addresses, subnets): virtual addresses are bound, those of a Kubernetes service or given ones by one
    listener; a network is matched; a headless service is its endpoints."""
    families = work.families
    if service.headless:
        endpoints = families.reachable(work.endpoints(service))
        reached = {families.used(item.reached_by(families.own)) for item in endpoints}
        return [(addresses, ()) for addresses in sorted(reached) if not addresses[0].startswith("unix://")]
    networks = distinct_networks(item for item in service.addresses if "/" in item and not _is_single(item))
    singles = [address.split("/")[0] for address in service.addresses if "/" not in address or _is_single(address)]
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((address,), ()) for address in singles]
    if singles and (service.from_kubernetes or service.wants_address):
        found = [(families.used(tuple(singles)), ())]
    if networks:
        found.append((families.wildcards, networks))
    return found or [(families.wildcards, ())]


def _is_single(network: str) -> bool:
    return network.endswith("/128" if ":" in network else "/32")


def _narrowed(target: TcpTarget, subnets: tuple[str, ...]) -> TcpTarget:
    if target.subnets or not subnets:
        return target
    return replace(target, subnets=subnets)
