"""A resource set as one static bootstrap, which `envoy --mode validate` checks without any control plane. Pure.

Route configurations and extension configs move into their listeners and endpoints into their clusters, so that Envoy
looks at them too; the agent's secret socket is a cluster that nothing connects to while validating.
"""

from collections.abc import Mapping
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format
from meshcore.xds import registry
from meshcore.xds.names import FILES_SDS_CLUSTER, SDS_CLUSTER
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE

from pilot.core.compiler.cluster_policy import HTTP_OPTIONS
from pilot.core.compiler.messages import any_of, socket_address
from pilot.core.config_dump import as_document

SDS_SOCKET = "/var/run/secrets/workload-spiffe-uds/socket"
_Manager = http_connection_manager_pb2.HttpConnectionManager


def as_bootstrap(
    resources: ResourceSet, node: Mapping[str, Any] | None = None, sds_socket: str = SDS_SOCKET
) -> dict[str, Any]:
    """The bootstrap as JSON with proto field names; `node` is Envoy's Node in the same form."""
    registry.load()
    bootstrap = bootstrap_pb2.Bootstrap()
    if node is not None:
        json_format.ParseDict({key: node[key] for key in ("id", "cluster", "locality") if key in node}, bootstrap.node)
    bootstrap.node.id = bootstrap.node.id or "sidecar~127.0.0.1~offline.default~default.svc.cluster.local"
    bootstrap.node.cluster = bootstrap.node.cluster or "offline"
    _set_runtime(bootstrap.layered_runtime.layers.add(name="mesh").static_layer)
    assignments = resources.of_type(ENDPOINT_TYPE)
    for item in resources.of_type(CLUSTER_TYPE).values():
        cluster = cluster_pb2.Cluster.FromString(item.body)
        if cluster.type == cluster_pb2.Cluster.EDS and cluster.HasField("eds_cluster_config"):
            found = assignments.get(cluster.eds_cluster_config.service_name or cluster.name)
            _make_static(cluster, found.body if found else b"")
        bootstrap.static_resources.clusters.append(cluster)
    bootstrap.static_resources.clusters.append(_sds_cluster(SDS_CLUSTER, sds_socket))
    if _names_files_apart(resources):
        bootstrap.static_resources.clusters.append(_sds_cluster(FILES_SDS_CLUSTER, sds_socket))
    for item in resources.of_type(LISTENER_TYPE).values():
        listener = listener_pb2.Listener.FromString(item.body)
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for filter_ in chain.filters:
                _inline_extension(filter_, resources)
                _inline_routes(filter_, resources)
        bootstrap.static_resources.listeners.append(listener)
    return as_document(bootstrap)


def _set_runtime(layer: Any) -> None:
    """As the agent starts Envoy: long names make expressions that are larger than Envoy takes by default."""
    layer.update({"re2.max_program_size.error_level": "32768"})


def _make_static(cluster: cluster_pb2.Cluster, body: bytes) -> None:
    cluster.ClearField("eds_cluster_config")
    cluster.type = cluster_pb2.Cluster.STATIC
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(body)
    assignment.cluster_name = cluster.name
    cluster.load_assignment.CopyFrom(assignment)


def _inline_routes(filter_: Any, resources: ResourceSet) -> None:
    if not filter_.typed_config.Is(_Manager.DESCRIPTOR):
        return
    manager = _Manager.FromString(filter_.typed_config.value)
    if manager.HasField("rds"):
        name = manager.rds.route_config_name
        found = resources.of_type(ROUTE_TYPE).get(name)
        routes = route_pb2.RouteConfiguration.FromString(found.body if found else b"")
        routes.name = name
        manager.route_config.CopyFrom(routes)
    for inner in manager.http_filters:
        _inline_extension(inner, resources)
    filter_.typed_config.CopyFrom(any_of(manager))


def _inline_extension(filter_: Any, resources: ResourceSet) -> None:
    found = resources.of_type(EXTENSION_CONFIG_TYPE).get(filter_.name)
    if filter_.HasField("config_discovery") and found is not None:
        config = extension_pb2.TypedExtensionConfig.FromString(found.body)
        filter_.typed_config.CopyFrom(config.typed_config)


def _names_files_apart(resources: ResourceSet) -> bool:
    name = FILES_SDS_CLUSTER.encode()
    return any(name in item.body for kind in (CLUSTER_TYPE, LISTENER_TYPE) for item in resources.of_type(kind).values())


def _sds_cluster(name: str, socket: str) -> cluster_pb2.Cluster:
    cluster = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.STATIC)
    cluster.connect_timeout.seconds = 1
    cluster.load_assignment.cluster_name = name
    host = cluster.load_assignment.endpoints.add().lb_endpoints.add()
    host.endpoint.address.CopyFrom(socket_address(f"unix://{socket}", 0))
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(any_of(options))
    return cluster
