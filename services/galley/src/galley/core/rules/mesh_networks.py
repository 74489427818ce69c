"""MeshNetworks, checked when the ConfigMap that carries them is written."""

from meshcore.model.mesh_networks import MeshNetworks, Network

from galley.core.rules.names import check_fqdn, check_label, check_subnet, domain_fault, is_ip
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def check_mesh_networks(report: Report, prefix: str, networks: MeshNetworks) -> None:
    """Every network; `prefix` goes before every field path."""
    for name, network in networks.networks.items():
        _check_network(report, f"{prefix}networks[{name}]", network)


def _check_network(report: Report, path: str, network: Network) -> None:
    for index, endpoints in enumerate(network.endpoints):
        where = f"{path}.endpoints[{index}]"
        if endpoints.from_cidr is not None:
            check_subnet(report, f"{where}.fromCidr", endpoints.from_cidr)
        if endpoints.from_registry is not None:
            check_label(report, f"{where}.fromRegistry", endpoints.from_registry)
    for index, gateway in enumerate(network.gateways):
        where = f"{path}.gateways[{index}]"
        if gateway.registry_service_name is not None:
            check_fqdn(report, f"{where}.registryServiceName", gateway.registry_service_name)
        if gateway.address is not None and not is_ip(gateway.address) and domain_fault(gateway.address):
            report.error(f"{where}.address", f"{gateway.address!r} is not an address", "an IP address or a host name")
        check_port(report, f"{where}.port", gateway.port)
