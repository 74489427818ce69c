"""Outbound listeners on an address of their own, as a Sidecar's `egress` asks for: bound where the workload is to dial
them (`captureMode: NONE`, or a proxy without capture), otherwise waiting for what is captured. Pure.

Default address is the loopback one (xds.md §2); where every listener is on the instance's address, that one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from meshcore.model.sidecar import CaptureMode
from meshcore.protocol import Protocol, parse_protocol
from meshcore.xds.names import HTTP_PROXY_ROUTE
from meshcore.xds.origin import Origins

from pilot.core.compiler.address_families import ANYWHERE
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.dynamic_dns import has_dynamic
from pilot.core.compiler.inbound_ports import inbound_ports
from pilot.core.compiler.outbound_plan import Plan, Planned, plan_at
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import Interception

UNIX = "unix://"


@dataclass(frozen=True)
class Egress:
    """One listener: where it is, what it speaks, and the hosts that are reached through it."""

    binds: tuple[str, ...]
    port: int
    protocol: Protocol
    is_bound: bool
    hosts: frozenset[str]

    @property
    def bind(self) -> str:
        """The first address, by which it is named."""
        return self.binds[0]


def egress_plan(work: Compilation) -> Plan:
    """The listeners of the Sidecar's egress that are not the ones of every captured port."""
    scope, one = work.scope, work.proxy_class
    listeners: list[Planned] = []
    problems: list[Diagnostic] = []
    for egress in _wanted(work):
        if problem := _in_the_way(work, egress):
            problems.append(problem)
            continue
        if egress.protocol is Protocol.HTTP_PROXY or (egress.bind.startswith(UNIX) and egress.protocol.is_http):
            name = egress.bind if egress.bind.startswith(UNIX) else HTTP_PROXY_ROUTE
            dynamic = has_dynamic(work)
            listeners.append(
                Planned(
                    egress.bind,
                    egress.port,
                    name,
                    False,
                    False,
                    dynamic,
                    (),
                    _sidecar(work),
                    egress.is_bound,
                    egress.binds[1:],
                )
            )
            continue
        key = ("egress", egress, work.families, one.domain, work.rules_key, Same(scope.services))
        found = work.memo(
            (*key, tuple(map(Same, scope.virtual_services))),
            lambda egress=egress: plan_at(  # type: ignore[misc]
                work, egress.binds, egress.port, egress.protocol, egress.hosts, is_bound=egress.is_bound
            ),
        )
        listeners += found.listeners
        problems += found.diagnostics
    return Plan(tuple(listeners), tuple(problems))


def _wanted(work: Compilation) -> Iterator[Egress]:
    one = work.proxy_class
    for listener, hosts in work.scope.ports:
        port = listener.port
        if port is None:
            continue
        bound = listener.capture_mode is CaptureMode.NONE or one.interception is Interception.NONE
        bound = bound or listener.bind.startswith(UNIX)
        bind = listener.bind
        if one.on_own_addresses and bind in ANYWHERE:
            bind = one.bind_address
        if bound or bind:
            binds = (bind,) if bind else work.families.loopbacks
            yield Egress(binds, port.number, parse_protocol(port.protocol), bound, hosts)


def _in_the_way(work: Compilation, egress: Egress) -> Diagnostic | None:
    """Why there can be no such listener, if so: Envoy would refuse it."""
    one, sidecar = work.proxy_class, work.scope.sidecar
    path = sidecar.path if sidecar is not None else ""
    if egress.bind.startswith(UNIX):
        if egress.protocol.is_http:
            return None
        text = f"Egress listener {egress.bind} is left out: a socket is for HTTP only."
        return Diagnostic("egress-socket-not-http", path, text)
    if one.on_own_addresses and egress.bind == one.bind_address:
        own = {port.target for port in inbound_ports(work)} | {one.http_proxy_port or work.mesh.proxy_http_port}
        if egress.port in own:
            text = f"Egress listener on port {egress.port} is left out: the workload serves on it."
            return Diagnostic("egress-port-conflict", path, text)
    return None


def _sidecar(work: Compilation) -> Origins:
    sidecar = work.scope.sidecar
    return (sidecar.ref,) if sidecar is not None else ()
