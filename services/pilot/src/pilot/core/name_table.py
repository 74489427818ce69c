"""The name table for agents: host names of the mesh and their addresses, as Istio's NDS. Pure."""

from collections.abc import Iterable
from typing import Any

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import NAME_TABLE_TYPE

from pilot.core.registry import Service
from pilot.core.snapshot import MeshSnapshot

_UNSPECIFIED = frozenset({"0.0.0.0", "::", ""})


def name_table(snapshot: MeshSnapshot) -> ResourceSet:
    """One resource with every host that has an address: the service's own, for headless ones those of its endpoints,
    each of which may have a name of its own (`web-0.web.shop.svc.cluster.local`)."""
    table = nds_pb2.NameTable()
    for key, service in sorted(snapshot.registry.services.items()):
        addresses = [
            address for address in service.addressed.addresses if address not in _UNSPECIFIED and "/" not in address
        ]
        if not addresses and service.headless:
            addresses = sorted(_add_endpoints(table, service, snapshot))
        if not addresses or key.host.startswith("*"):
            continue
        _add(table.table[key.host], service, service.name, addresses)
    return ResourceSet.of([PackedResource.pack(NAME_TABLE_TYPE, "", table)])


def _add_endpoints(table: Any, service: Service, snapshot: MeshSnapshot) -> set[str]:
    """Name what has a name; the addresses that the service itself stands for."""
    found = set()
    for endpoint in snapshot.registry.endpoints_of(service):
        if not endpoint.healthy:
            continue
        found.add(endpoint.address)
        if endpoint.hostname:
            host, short = f"{endpoint.hostname}.{service.host}", f"{endpoint.hostname}.{service.name}"
            _add(table.table[host], service, short, [endpoint.address])
    return found


def _add(entry: Any, service: Service, short: str, addresses: Iterable[str]) -> None:
    entry.ips.extend(address for address in dict.fromkeys(addresses) if address not in entry.ips)
    entry.registry = "Kubernetes" if service.from_kubernetes else "External"
    entry.namespace = service.namespace
    if service.from_kubernetes:
        entry.shortname = short
