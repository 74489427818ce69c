"""A resource set in the shape of Envoy's admin `/config_dump`, proto field names, so that Envoy's tools can read it.
Pure."""

import json
from typing import Any

from envoy.admin.v3 import config_dump_pb2, config_dump_shared_pb2
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from meshcore.xds import registry
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.stats_scope import told_stats_scope
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

from pilot.core.tracer_tokens import without_tokens


def config_dump(resources: ResourceSet, version: str = "") -> dict[str, Any]:
    """Clusters, endpoints, listeners and routes as dynamic configs, no Secrets and no tokens; `version` is the
    snapshot's, each has its own too."""
    return as_document(dump_message(resources, version))


def dump_message(resources: ResourceSet, version: str = "") -> Any:
    """The same as Envoy's message."""
    registry.load()
    clusters = config_dump_shared_pb2.ClustersConfigDump(version_info=version)
    for item in resources.of_type(CLUSTER_TYPE).values():
        clusters.dynamic_active_clusters.add(version_info=item.version, cluster=_any(item))
    endpoints = config_dump_shared_pb2.EndpointsConfigDump()
    for item in resources.of_type(ENDPOINT_TYPE).values():
        endpoints.dynamic_endpoint_configs.add(version_info=item.version, endpoint_config=_any(item))
    listeners = config_dump_shared_pb2.ListenersConfigDump(version_info=version)
    for item in resources.of_type(LISTENER_TYPE).values():
        state = listeners.dynamic_listeners.add(name=item.name).active_state
        state.version_info = item.version
        state.listener.CopyFrom(_any(item))
    routes = config_dump_shared_pb2.RoutesConfigDump()
    for item in resources.of_type(ROUTE_TYPE).values():
        routes.dynamic_route_configs.add(version_info=item.version, route_config=_any(item))
    dump = config_dump_pb2.ConfigDump()
    for part in (clusters, endpoints, listeners, routes):
        dump.configs.add().Pack(part)
    return without_tokens(dump)


def resources_of_type(resources: ResourceSet, type_url: str) -> list[dict[str, Any]]:
    """The resources of one type as JSON with proto field names, sorted by name."""
    registry.load()
    return [as_document(registry.parse(type_url, item.body)) for _, item in sorted(resources.of_type(type_url).items())]


def as_document(message: Message) -> dict[str, Any]:
    """Proto3 JSON with proto field names, in plain dicts and lists (`MessageToDict` leaves ordered ones inside
    `Any`)."""
    shown = without_tokens(message)
    made: dict[str, Any] = json.loads(json_format.MessageToJson(shown, preserving_proto_field_name=True, indent=None))
    ordered: dict[str, Any] = _with_sorted_maps(told_stats_scope(made))
    return ordered


_MAPS = frozenset({"typed_per_filter_config", "typed_extension_protocol_options", "providers", "policies"})
_STRUCTS = frozenset({"filter_metadata"})


def _with_sorted_maps(value: Any, *, deep: bool = False) -> Any:
    """Messages keep the order of their fields; protobuf's maps have none, so theirs is by key."""
    if isinstance(value, list):
        return [_with_sorted_maps(item, deep=deep) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_sorted_maps(item, deep=deep or key in _STRUCTS) for key, item in value.items()}
    made = {key: dict(sorted(item.items())) if key in _MAPS else item for key, item in made.items()}
    return dict(sorted(made.items())) if deep else made


def _any(item: PackedResource) -> any_pb2.Any:
    return any_pb2.Any(type_url=item.type_url, value=item.body)
