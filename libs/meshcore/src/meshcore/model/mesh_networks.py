"""MeshNetworks: which endpoints are in which network, and the gateways between networks (mesh/v1alpha1).

The `meshNetworks` key of the ConfigMap that carries the mesh config.
"""

from collections.abc import Mapping

from meshcore.model.base import MeshModel, UInt32
from meshcore.model.mesh_document import parse_mesh_document


class NetworkEndpoints(MeshModel):
    """Endpoints of an address range, or of a registry (a cluster's name)."""

    from_cidr: str | None = None
    from_registry: str | None = None
    one_of = (("from_cidr", "from_registry"),)


class NetworkGateway(MeshModel):
    """A gateway into the network, by its service or its address."""

    registry_service_name: str | None = None
    address: str | None = None
    port: UInt32 = 0
    locality: str = ""
    one_of = (("registry_service_name", "address"),)


class Network(MeshModel):
    """One network."""

    endpoints: tuple[NetworkEndpoints, ...] = ()
    gateways: tuple[NetworkGateway, ...] = ()


class MeshNetworks(MeshModel):
    """Networks by name."""

    networks: Mapping[str, Network] = {}


def parse_mesh_networks(text: str) -> tuple[MeshNetworks, tuple[str, ...]]:
    """Read the `meshNetworks` key, with the paths of unknown fields; INVALID with all violations."""
    return parse_mesh_document(text, MeshNetworks, "the mesh networks document")
