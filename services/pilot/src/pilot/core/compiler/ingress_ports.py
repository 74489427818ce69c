"""Ports that a Sidecar's `ingress` says the workload serves on, in the place of what services say. Pure.

`defaultEndpoint` leads to a socket or to a port: on the loopback address that it names, or on the workload's own
address, as 0.0.0.0 and [::] mean (xds.md §3). Where the application has an address of its own both are that address.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from meshcore.model import Sidecar
from meshcore.model.destination_rule import ConnectionPoolSettings
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.sidecar import CaptureMode, IngressListener, ServerTlsSettings
from meshcore.protocol import Protocol, parse_protocol

from pilot.core.compiler.address_families import ANYWHERE
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.gateway_tls import ends_here
from pilot.core.compiler.istiod_switches import is_switched_on
from pilot.core.config import Config
from pilot.core.proxy import Interception
from pilot.core.registry import Port, Service

UNIX = "unix://"
_TLS_FLAG = "ENABLE_TLS_ON_SIDECAR_INGRESS"
"""In `proxyMetadata` of MeshConfig's defaultConfig; Istio has it in the environment of istiod."""
_OWN = frozenset({"0.0.0.0", "[::]"})


@dataclass(frozen=True)
class Ingress:
    """What a Sidecar says of one port."""

    bind: str = ""
    """Empty: every address of the workload."""
    is_bound: bool = False
    """Whether a socket of its own is bound, instead of taking what is captured."""
    socket: str = ""
    """`unix://<path>` of the application."""
    port: int = 0
    """Of the application; 0: the one that was dialled."""
    on_own_address: bool = False
    """Whether the application is dialled on the workload's address, not on the loopback one."""
    loopback: str = ""
    """The loopback address that is named; empty: the proxy's own."""
    is_v6: bool = False
    pool: ConnectionPoolSettings | None = None
    tls: ServerTlsSettings | None = None
    """TLS of its own that it ends, where it ends no mesh TLS."""


def ingress_ports(
    work: Compilation, sidecar: Config[Sidecar]
) -> Iterator[tuple[int, Service, Port, tuple[Service, ...], Ingress]]:
    """Port number, who stands for it, its port, the services that are reached there, and what the Sidecar says."""
    alone = work.memo(("ingress-service", Same(sidecar)), lambda: _service_of(sidecar))
    known = work.snapshot.registry.services
    for listener in sorted(sidecar.object.spec.ingress, key=lambda item: item.port.number):
        number = listener.port.number
        served = [item for item in work.proxy_class.served if item.target == number]
        found = {item.service: known[item.service] for item in served if item.service in known}
        reached = tuple(sorted(found.values(), key=lambda service: (service.created, service.host)))
        port = next(port for port in alone.ports if port.number == number)
        if port.protocol is not Protocol.UDP:
            yield number, alone, port, reached, _ingress(listener, work.proxy_class.interception, ends_tls(work.mesh))


def _service_of(sidecar: Config[Sidecar]) -> Service:
    """Stands in for a service, which such a port need not have."""
    ports = tuple(
        Port(item.port.number, item.port.name, parse_protocol(item.port.protocol))
        for item in sidecar.object.spec.ingress
    )
    return Service(
        f"{sidecar.name}.{sidecar.namespace}",
        sidecar.namespace,
        sidecar.name,
        kind="Sidecar",
        ports=ports,
        revision=sidecar.revision,
    )


def ends_tls(mesh: MeshConfig) -> bool:
    """Whether `tls` of an ingress listener counts; by default it does not, as in Istio."""
    return is_switched_on(mesh, _TLS_FLAG)


def _ingress(listener: IngressListener, interception: Interception, ends_tls: bool) -> Ingress:
    bound = listener.capture_mode is CaptureMode.NONE or interception is Interception.NONE
    bind = "" if listener.bind in ANYWHERE else listener.bind
    text, pool = listener.default_endpoint, listener.connection_pool
    tls = listener.tls if ends_tls and listener.tls is not None and ends_here(listener.tls) else None
    if text.startswith(UNIX):
        return Ingress(bind, bound, socket=text, pool=pool, tls=tls)
    host, _, port = text.rpartition(":")
    own = host in _OWN
    loopback = "" if own else host.strip("[]")
    return Ingress(bind, bound, "", int(port or 0), own, loopback, host.startswith("["), pool, tls)
