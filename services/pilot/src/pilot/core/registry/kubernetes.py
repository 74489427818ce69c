"""Kubernetes' Service, EndpointSlice and Endpoints as registry services and endpoints. Pure."""

from collections.abc import Iterable, Iterator

from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.model import Endpoints, EndpointSlice
from meshcore.model import Service as KubernetesService
from meshcore.model.endpoint_slice import Endpoint as SliceEndpoint
from meshcore.protocol import select_protocol
from meshcore.xds.origin import ConfigRef

from pilot.core.registry.endpoint import DISABLED_TLS, Endpoint, Locality
from pilot.core.registry.service import Port, Resolution, Service

EXPORT_TO = "networking.istio.io/exportTo"


def service_host(name: str, namespace: str, domain: str = DEFAULT_DOMAIN) -> str:
    """`reviews.shop.svc.cluster.local`."""
    return f"{name}.{namespace}.svc.{domain}"


def service_of_kubernetes(source: KubernetesService, revision: int = 0) -> Service:
    """The registry's view of a Service: ExternalName is an alias, `clusterIP: None` is headless."""
    spec, metadata = source.spec, source.metadata
    headless = spec.cluster_ip == "None"
    alias = spec.type == "ExternalName"
    resolution = Resolution.ALIAS if alias else Resolution.NONE if headless else Resolution.ENDPOINTS
    addresses = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    exported = metadata.annotations.get(EXPORT_TO, "")
    return Service(
        host=service_host(metadata.name, metadata.namespace),
        namespace=metadata.namespace,
        name=metadata.name,
        created=metadata.creation_timestamp or "",
        ports=tuple(
            Port(
                port.port,
                port.name,
                select_protocol(port.name, port.port, port.app_protocol, port.protocol),
                port.target_port or 0,
            )
            for port in spec.ports
        ),
        addresses=() if headless or alias else tuple(address for address in addresses if address != "None"),
        resolution=resolution,
        headless=headless,
        export_to=tuple(part.strip() for part in exported.split(",") if part.strip()),
        selector=dict(spec.selector) if spec.selector and not alias else None,
        labels=metadata.labels,
        alias_of=spec.external_name.rstrip(".").lower() if alias else "",
        revision=revision,
    )


def endpoints_of_slices(
    service: Service, slices: Iterable[EndpointSlice], publish_not_ready: bool
) -> Iterator[Endpoint]:
    """Endpoints of a Service's slices; terminating ones are left out, unready ones are unhealthy."""
    for part in slices:
        if part.address_type == "FQDN":
            continue
        numbers = {port.name: port.port for port in part.ports}
        source = ConfigRef("EndpointSlice", *part.namespaced_name)
        for item in part.endpoints:
            if item.conditions is not None and item.conditions.terminating:
                continue
            ready = item.conditions is None or item.conditions.ready is not False or publish_not_ready
            for port in service.ports:
                number = numbers.get(port.name)
                if number:
                    yield _slice_endpoint(service, item, port.name, number, ready, source)


def _slice_endpoint(
    service: Service, item: SliceEndpoint, port_name: str, number: int, ready: bool, source: ConfigRef
) -> Endpoint:
    reference = item.target_ref or {}
    return Endpoint(
        address=item.addresses[0],
        port=number,
        port_name=port_name,
        namespace=service.namespace,
        labels={},
        locality=Locality("", item.zone or "", ""),
        tls_mode=DISABLED_TLS,
        healthy=ready,
        workload=str(reference.get("name", "")),
        source=source,
    )


def endpoints_of_endpoints(service: Service, source: Endpoints) -> Iterator[Endpoint]:
    """Endpoints in the older form; used where a Service has no slice."""
    origin = ConfigRef("Endpoints", *source.namespaced_name)
    for subset in source.subsets:
        numbers = {port.name: port.port for port in subset.ports}
        addresses = [(address, True) for address in subset.addresses]
        addresses += [(address, False) for address in subset.not_ready_addresses]
        for address, ready in addresses:
            for port in service.ports:
                if number := numbers.get(port.name):
                    workload = str((address.target_ref or {}).get("name", ""))
                    yield Endpoint(
                        address.ip,
                        number,
                        port.name,
                        service.namespace,
                        {},
                        healthy=ready,
                        workload=workload,
                        source=origin,
                    )
