"""Kubernetes' Service, EndpointSlice and Endpoints as registry services and endpoints. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.model import Endpoints, EndpointSlice
from meshcore.model import Service as KubernetesService
from meshcore.model.core_v1 import ServiceSpec
from meshcore.model.endpoint_slice import EndpointConditions
from meshcore.protocol import select_protocol
from meshcore.xds.origin import ConfigRef

from pilot.core.config import Name
from pilot.core.ip_families import is_v6, plain_address
from pilot.core.registry.endpoint import Endpoint, Locality
from pilot.core.registry.pods import Pods, pod_name
from pilot.core.registry.service import DISTRIBUTION, LOCAL, Distribution, Port, Resolution, Service
from pilot.core.registry.workload import Workload

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
    addresses = map(plain_address, spec.cluster_ips or (spec.cluster_ip,))
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
        addresses=() if headless or alias else tuple(filter(None, addresses)),
        resolution=resolution,
        headless=headless,
        export_to=tuple(part.strip() for part in exported.split(",") if part.strip()),
        selector=dict(spec.selector) if spec.selector and not alias else None,
        labels=metadata.labels,
        distribution=Distribution.parse(spec.traffic_distribution or metadata.annotations.get(DISTRIBUTION)),
        node_local=spec.internal_traffic_policy == LOCAL,
        alias_of=spec.external_name.rstrip(".").lower() if alias else "",
        revision=revision,
    )


def endpoints_of_slices(
    service: Service, slices: Iterable[EndpointSlice], spec: ServiceSpec, pods: Pods
) -> Iterator[Endpoint]:
    """Endpoints of a Service's slices; ending ones are left out, unready ones are unhealthy unless the Service
    publishes them."""
    return _joined(_listed(service, slices, spec, pods), spec)


def _listed(
    service: Service, slices: Iterable[EndpointSlice], spec: ServiceSpec, pods: Pods
) -> Iterator[tuple[Name | None, Endpoint]]:
    """Each with the pod that it is, where its slice says so."""
    for part in slices:
        if part.address_type == "FQDN":
            continue
        numbers = {port.name: port.port for port in part.ports}
        source = ConfigRef("EndpointSlice", *part.namespaced_name)
        for item in part.endpoints:
            conditions = item.conditions or EndpointConditions()
            ends = bool(conditions.terminating and not conditions.ready)
            if ends and (service.session is None or conditions.serving is False):
                continue
            base = Endpoint(
                address=item.addresses[0],
                port=0,
                port_name="",
                namespace=service.namespace,
                labels={},
                locality=_locality(item.zone, pods.localities.get(item.node_name or "")),
                healthy=not ends and (conditions.ready is not False or spec.publish_not_ready_addresses),
                draining=ends,
                workload=str((item.target_ref or {}).get("name", "")),
                node=item.node_name or "",
                hostname=item.hostname or "",
                source=source,
            )
            base = _of_pod(base, pods.of(service.namespace, item.target_ref))
            for port in service.ports:
                if number := numbers.get(port.name):
                    yield (
                        pod_name(part.metadata.namespace, item.target_ref),
                        replace(base, port=number, port_name=port.name),
                    )


def _joined(found: Iterable[tuple[Name | None, Endpoint]], spec: ServiceSpec) -> Iterator[Endpoint]:
    """A pod that is listed in both families is one endpoint with both addresses, the Service's first family first."""
    by_pod: dict[tuple[Name, str], list[Endpoint]] = {}
    for pod, item in found:
        if pod is None:
            yield item
        else:
            by_pod.setdefault((pod, item.port_name), []).append(item)
    v6_first = next(iter(spec.ip_families), "") == "IPv6"
    for listed in by_pod.values():
        parts = [[item for item in listed if is_v6(item.address) is family] for family in (v6_first, not v6_first)]
        firsts, others = parts if parts[0] else reversed(parts)
        for number, item in enumerate(firsts):
            more = others[number : number + 1]
            yield replace(item, more_addresses=tuple(other.address for other in more if other.port == item.port))
        yield from others[len(firsts) :]


def endpoints_of_endpoints(service: Service, source: Endpoints, spec: ServiceSpec, pods: Pods) -> Iterator[Endpoint]:
    """Endpoints in the older form; used where a Service has no slice."""
    origin = ConfigRef("Endpoints", *source.namespaced_name)
    for subset in source.subsets:
        numbers = {port.name: port.port for port in subset.ports}
        addresses = [(address, True) for address in subset.addresses]
        addresses += [(address, spec.publish_not_ready_addresses) for address in subset.not_ready_addresses]
        for address, ready in addresses:
            base = Endpoint(
                address=address.ip,
                port=0,
                port_name="",
                namespace=service.namespace,
                labels={},
                locality=_locality(None, pods.localities.get(address.node_name or "")),
                healthy=ready,
                workload=str((address.target_ref or {}).get("name", "")),
                node=address.node_name or "",
                hostname=address.hostname,
                source=origin,
            )
            base = _of_pod(base, pods.of(service.namespace, address.target_ref))
            for port in service.ports:
                if number := numbers.get(port.name):
                    yield replace(base, port=number, port_name=port.name)


def _locality(zone: str | None, node: Locality | None) -> Locality:
    return node if node is not None else Locality("", zone or "", "")


def _of_pod(base: Endpoint, pod: Workload | None) -> Endpoint:
    """With what the pod says about itself."""
    if pod is None:
        return base
    return replace(
        base,
        namespace=pod.namespace,
        labels=pod.labels,
        locality=pod.locality if any(pod.locality) else base.locality,
        service_account=pod.service_account,
        tls_mode=pod.tls_mode,
        network=pod.network,
        workload=pod.group,
        node=pod.node or base.node,
    )
