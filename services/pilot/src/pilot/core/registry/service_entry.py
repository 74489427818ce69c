"""ServiceEntry as registry services (one per host) and its inline endpoints. Pure."""

from collections.abc import Iterator

from meshcore.model import ServiceEntry
from meshcore.model.service_entry import Location
from meshcore.model.service_entry import Resolution as EntryResolution
from meshcore.protocol import parse_protocol

from pilot.core.registry.endpoint import Endpoint
from pilot.core.registry.service import DISTRIBUTION, Distribution, Port, Resolution, Service
from pilot.core.registry.workload import entry_target, workload_of_spec

_RESOLUTION = {
    EntryResolution.NONE: Resolution.NONE,
    EntryResolution.STATIC: Resolution.ENDPOINTS,
    EntryResolution.DNS: Resolution.DNS,
    EntryResolution.DNS_ROUND_ROBIN: Resolution.DNS_ROUND_ROBIN,
    EntryResolution.DYNAMIC_DNS: Resolution.DYNAMIC_DNS,
}
_GIVEN_LABEL = "networking.istio.io/enable-autoallocate-ip"
_CONNECT = "istio.io/connect-strategy"
_NO_ADDRESS = ("0.0.0.0", "::")


def services_of_entry(entry: ServiceEntry, revision: int = 0) -> tuple[Service, ...]:
    """One service per host; they share ports, addresses and endpoints."""
    spec, metadata = entry.spec, entry.metadata
    ports = tuple(Port(port.number, port.name, parse_protocol(port.protocol), port.target_port) for port in spec.ports)
    addresses = tuple(address for address in spec.addresses if address not in _NO_ADDRESS)
    wanting = not addresses and spec.resolution is not EntryResolution.NONE
    wanting &= metadata.labels.get(_GIVEN_LABEL, "").lower() != "false"
    return tuple(
        Service(
            host=host.lower(),
            namespace=metadata.namespace,
            name=metadata.name,
            kind="ServiceEntry",
            created=metadata.creation_timestamp or "",
            ports=ports,
            addresses=addresses,
            wants_address=wanting and (spec.resolution is EntryResolution.DYNAMIC_DNS or not host.startswith("*")),
            resolution=_RESOLUTION[spec.resolution],
            export_to=spec.export_to,
            external=spec.location is Location.MESH_EXTERNAL,
            selector=dict(spec.workload_selector.labels) if spec.workload_selector else None,
            labels=metadata.labels,
            races_addresses=metadata.annotations.get(_CONNECT, "").upper() == "RACE_FIRST_TCP_CONNECT",
            distribution=Distribution.parse(metadata.annotations.get(DISTRIBUTION)),
            subject_alt_names=spec.subject_alt_names,
            revision=revision,
        )
        for host in dict.fromkeys(spec.hosts)
    )


def inline_endpoints(entry: ServiceEntry, service: Service) -> Iterator[Endpoint]:
    """The endpoints that the entry lists; a DNS entry without any is its own endpoint, by its host's name."""
    spec = entry.spec
    for index, item in enumerate(spec.endpoints):
        workload = workload_of_spec(f"{entry.metadata.name}-{index}", entry.metadata.namespace, item, item.labels)
        for port in service.ports:
            number = entry_target(port, item.ports)
            yield workload.endpoint(port.name, 0 if item.address.startswith("unix://") else number)
    if not spec.endpoints and spec.workload_selector is None and _by_name(service):
        for port in service.ports:
            yield Endpoint(service.host, entry_target(port, {}), port.name, service.namespace, {})


def _by_name(service: Service) -> bool:
    return service.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN) and not service.host.startswith("*")
