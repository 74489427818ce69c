"""The name table for agents: host names of the mesh and their addresses, as Istio's NDS. Pure."""

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import NAME_TABLE_TYPE

from pilot.core.snapshot import MeshSnapshot

_UNSPECIFIED = frozenset({"0.0.0.0", "::", ""})


def name_table(snapshot: MeshSnapshot) -> ResourceSet:
    """One resource with every host that has an address: the service's own, for headless ones those of its endpoints."""
    table = nds_pb2.NameTable()
    for key, service in sorted(snapshot.registry.services.items()):
        addresses = [address for address in service.addresses if address not in _UNSPECIFIED and "/" not in address]
        if not addresses and service.headless:
            addresses = sorted({endpoint.address for endpoint in snapshot.registry.endpoints_of(service)})
        if not addresses or key.host.startswith("*"):
            continue
        entry = table.table[key.host]
        entry.ips.extend(address for address in addresses if address not in entry.ips)
        entry.registry = "Kubernetes" if service.from_kubernetes else "External"
        entry.namespace = service.namespace
        if service.from_kubernetes:
            entry.shortname = service.name
    return ResourceSet.of([PackedResource.pack(NAME_TABLE_TYPE, "", table)])
