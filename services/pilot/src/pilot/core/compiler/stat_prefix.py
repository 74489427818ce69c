"""What a cluster's statistics are called: MeshConfig's `outboundClusterStatName` and `inboundClusterStatName`
(mesh/v1alpha1). Pure."""

from meshcore.model.mesh_config import MeshConfig

from pilot.core.compiler.inbound_ports import InboundPort
from pilot.core.registry import Port, Service


def outbound_stat_prefix(mesh: MeshConfig, service: Service, port: Port, subset: str = "") -> str:
    """Empty where the mesh says nothing: then it is the cluster's name."""
    pattern = mesh.outbound_cluster_stat_name
    return stat_prefix(pattern, service, port, subset) if pattern else ""


def inbound_stat_prefix(mesh: MeshConfig, port: InboundPort) -> str:
    """As `outbound_stat_prefix`, for a port on which the workload serves."""
    pattern = mesh.inbound_cluster_stat_name
    if not pattern:
        return ""
    return stat_prefix(pattern.replace("%TARGET_PORT%", str(port.target)), port.service, port.port)


def stat_prefix(pattern: str, service: Service, port: Port, subset: str = "") -> str:
    """The pattern with its words replaced; words that are none stay as they are."""
    short = f"{service.name}.{service.namespace}" if service.from_kubernetes else service.host
    words = {
        "%SERVICE%": short,
        "%SERVICE_NAME%": service.name if service.from_kubernetes else service.host,
        "%SERVICE_FQDN%": service.host,
        "%SUBSET_NAME%": subset,
        "%SERVICE_PORT%": str(port.number),
        "%SERVICE_PORT_NAME%": port.name,
        "%TARGET_PORT%": str(port.target),
    }
    for word, value in words.items():
        pattern = pattern.replace(word, value)
    return pattern
