"""Which other resources a resource names: clusters of routes, routes of listeners, endpoints of clusters. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import any_pb2, message

from meshcore.xds import registry
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE


@dataclass(frozen=True, slots=True, order=True)
class DanglingReference:
    """A name that one resource uses and no other defines."""

    from_type: str
    from_name: str
    to_type: str
    to_name: str


def dangling(resources: ResourceSet) -> tuple[DanglingReference, ...]:
    """References to clusters, endpoints and route configurations that a set does not define, sorted."""
    return tuple(
        sorted(
            DanglingReference(type_url, resource.name, to_type, to_name)
            for type_url in (CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE)
            for resource in resources.of_type(type_url).values()
            for to_type, to_name in references(resource)
            if to_name not in resources.of_type(to_type)
        )
    )


def references(resource: PackedResource) -> frozenset[tuple[str, str]]:
    """(type URL, name) of what `resource` needs to work."""
    parsed = registry.parse(resource.type_url, resource.body)
    if resource.type_url == CLUSTER_TYPE:
        if parsed.type != parsed.EDS:
            return frozenset()
        return frozenset({(ENDPOINT_TYPE, parsed.eds_cluster_config.service_name or parsed.name)})
    if resource.type_url in (LISTENER_TYPE, ROUTE_TYPE):
        return frozenset(_inside(parsed))
    return frozenset()


def _inside(parsed: Any) -> Iterator[tuple[str, str]]:
    """Walk a message and every `Any` in it for the fields that name another resource."""
    if isinstance(parsed, any_pb2.Any):
        if (inner := registry.unpack(parsed)) is not None:
            yield from _inside(inner)
        return
    kind = parsed.DESCRIPTOR.full_name
    if kind == "envoy.extensions.filters.network.http_connection_manager.v3.Rds":
        yield ROUTE_TYPE, parsed.route_config_name
    if "config_discovery" in parsed.DESCRIPTOR.fields_by_name and parsed.HasField("config_discovery"):
        yield EXTENSION_CONFIG_TYPE, parsed.name
    for field, value in parsed.ListFields():
        if kind in _CLUSTER_FIELDS and field.name == _CLUSTER_FIELDS[kind]:
            yield CLUSTER_TYPE, value
        elif field.message_type is not None:
            yield from _each(field, value)


def _each(field: Any, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, message.Message):
        yield from _inside(value)
    elif hasattr(value, "values"):
        if field.message_type.fields_by_name["value"].message_type is not None:
            for item in value.values():
                yield from _inside(item)
    else:
        for item in value:
            yield from _inside(item)


_CLUSTER_FIELDS = {
    "envoy.config.route.v3.RouteAction": "cluster",
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": "cluster",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight": "name",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": "cluster",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": "name",
}
