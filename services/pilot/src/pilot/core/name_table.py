"""The name table for agents: host names of the mesh and their addresses, as Istio's NDS. Pure."""

from collections.abc import Iterable
from typing import Any

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import NAME_TABLE_TYPE

from pilot.core.ip_families import IpFamilies, plain_address
from pilot.core.registry import Service
from pilot.core.registry.index import Registry
from pilot.core.snapshot import MeshSnapshot

_UNSPECIFIED = frozenset({"0.0.0.0", "::", ""})


class NameTables:
    """The newest table of each kind of agent; made again when the registry has changed."""

    def __init__(self) -> None:
        self._made: dict[IpFamilies, tuple[Registry, ResourceSet]] = {}

    def of(self, snapshot: MeshSnapshot, families: IpFamilies) -> ResourceSet:
        """The table for agents with these families."""
        registry, made = self._made.get(families, (None, None))
        if made is None or registry is not snapshot.registry:
            made = name_table(snapshot, families).sharing(made)
            self._made[families] = snapshot.registry, made
        return made


def name_table(snapshot: MeshSnapshot, families: IpFamilies = IpFamilies.V4) -> ResourceSet:
    """One resource with every host, wildcards too, that has an address for an agent with these families: the service's
    own, for headless ones those of its endpoints, each of which may have a name of its own
    (`web-0.web.shop.svc.cluster.local`)."""
    table = nds_pb2.NameTable()
    for key, service in sorted(snapshot.registry.services.items()):
        addresses = [
            address
            for address in service.seen_by(families, given=True).addresses
            if address not in _UNSPECIFIED and "/" not in address
        ]
        if not addresses and service.headless:
            addresses = sorted(_add_endpoints(table, service, snapshot, families))
        if addresses:
            _add(table.table[key.host], service, service.name, addresses)
    return ResourceSet.of([PackedResource.pack(NAME_TABLE_TYPE, "", table)])


def _add_endpoints(table: Any, service: Service, snapshot: MeshSnapshot, families: IpFamilies) -> set[str]:
    """Name what has a name; the addresses that the service itself stands for."""
    found: set[str] = set()
    for endpoint in snapshot.registry.endpoints_of(service):
        addresses = list(filter(plain_address, endpoint.reached_by(families)))
        if not endpoint.healthy or not addresses:
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
