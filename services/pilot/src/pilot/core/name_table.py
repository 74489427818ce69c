"""The name table for agents: the hosts that their proxies see and their addresses, as Istio's NDS. Pure."""

from collections.abc import Iterable
from typing import Any

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import NAME_TABLE_TYPE

from pilot.core.compiler.cache import CompileCache, Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.endpoints import crossing_key, crossing_of
from pilot.core.ip_families import plain_address
from pilot.core.proxy import Proxy, classify
from pilot.core.registry import Service
from pilot.core.snapshot import MeshSnapshot

_UNSPECIFIED = frozenset({"0.0.0.0", "::", ""})
_CAPACITY = 500
"""Scopes and tables that are remembered: each may name every service of the mesh."""


class NameTables:
    """The tables of a process: agents that see the same share one, as long as nothing of it changes."""

    def __init__(self) -> None:
        self._cache = CompileCache(_CAPACITY, owners=_CAPACITY)

    def of(self, snapshot: MeshSnapshot, proxy: Proxy) -> ResourceSet:
        """The table for the agent of a proxy."""
        work = Compilation(snapshot, classify(proxy, snapshot.selection), self._cache)
        services = work.scope.services
        endpoints = tuple(Same(work.endpoints(one)) for one in services.headless)
        key = ("names", work.proxy_class.families, Same(services), endpoints, *crossing_key(work))
        return work.memo(key, lambda: name_table(work))


def name_table(work: Compilation) -> ResourceSet:
    """One resource with every host in scope, wildcards too, that has an address for an agent with these families: the
    service's own, for headless ones those of its endpoints, each of which may have a name of its own
    (`web-0.web.shop.svc.cluster.local`)."""
    table, families = nds_pb2.NameTable(), work.proxy_class.families
    for service in work.scope.services:
        addresses = [
            address
            for address in service.seen_by(families, given=True).addresses
            if address not in _UNSPECIFIED and "/" not in address
        ]
        if not addresses and service.headless:
            addresses = sorted(_add_endpoints(table, service, work))
        if addresses:
            _add(table.table[service.host], service, service.name, addresses)
    return ResourceSet.of([PackedResource.pack(NAME_TABLE_TYPE, "", table)])


def _add_endpoints(table: Any, service: Service, work: Compilation) -> set[str]:
    """Name what has a name; the addresses that the service itself stands for. What is reached through gateways of
    another network has none."""
    found: set[str] = set()
    families, crossing = work.proxy_class.families, crossing_of(work)
    for endpoint in work.endpoints(service):
        addresses = list(filter(plain_address, endpoint.reached_by(families)))
        if not endpoint.healthy or not addresses or crossing.gateways_to(endpoint):
            continue
        found.update(addresses)
        if endpoint.hostname:
            host, short = f"{endpoint.hostname}.{service.host}", f"{endpoint.hostname}.{service.name}"
            _add(table.table[host], service, short, addresses)
    return found


def _add(entry: Any, service: Service, short: str, addresses: Iterable[str]) -> None:
    entry.ips.extend(address for address in dict.fromkeys(addresses) if address not in entry.ips)
    entry.registry = "Kubernetes" if service.from_kubernetes else "External"
    entry.namespace = service.namespace
    if service.from_kubernetes:
        entry.shortname = short
