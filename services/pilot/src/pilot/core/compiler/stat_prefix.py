"""What a cluster's statistics are called: MeshConfig's `outboundClusterStatName` (mesh/v1alpha1). Pure."""

from pilot.core.registry import Port, Service


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
