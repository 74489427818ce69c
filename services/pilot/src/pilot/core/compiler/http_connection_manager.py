"""HTTP connection managers: the options of each direction (xds.md §5), filters in their one order. Pure."""

from dataclasses import dataclass

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import duration_pb2
from meshcore.model.mesh_config import MeshConfig, Normalization

from pilot.core.compiler.access_log import access_logs
from pilot.core.compiler.address_families import ONE_FAMILY, Families
from pilot.core.compiler.dynamic_dns import dynamic_dns_filter
from pilot.core.compiler.filter_order import ordered
from pilot.core.compiler.http_filters import Placed, default_filters
from pilot.core.compiler.messages import ads_source, any_of, boolean, duration
from pilot.core.compiler.persistent_sessions import session_filter
from pilot.core.proxy import GatewayTopology

NAME = "envoy.filters.network.http_connection_manager"
_Manager = http_connection_manager_pb2.HttpConnectionManager
_FORWARD = {
    "SANITIZE": _Manager.SANITIZE,
    "FORWARD_ONLY": _Manager.FORWARD_ONLY,
    "APPEND_FORWARD": _Manager.APPEND_FORWARD,
    "SANITIZE_SET": _Manager.SANITIZE_SET,
    "ALWAYS_FORWARD_ONLY": _Manager.ALWAYS_FORWARD_ONLY,
}


@dataclass(frozen=True, slots=True)
class Outbound:
    """Requests of the workload; routes by RDS."""

    stat_prefix: str
    route_name: str
    is_forward_proxy: bool = False
    sniffs: bool = False
    grpc_web: bool = False
    dynamic_dns: bool = False
    sessions: bool = False
    families: Families = ONE_FAMILY
    """Of names that are looked up."""
    routes: route_pb2.RouteConfiguration | None = None
    """In the place of those by RDS."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """Requests to the workload; routes are part of the listener."""

    stat_prefix: str
    routes: route_pb2.RouteConfiguration
    grpc_web: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """Requests from outside the mesh, at a gateway; routes by RDS."""

    stat_prefix: str
    route_name: str
    topology: GatewayTopology
    grpc_web: bool = False
    dynamic_dns: bool = False
    sessions: bool = False
    families: Families = ONE_FAMILY


def edge_manager(options: Edge, mesh: MeshConfig) -> listener_components_pb2.Filter:
    """The network filter of a gateway: the caller is whom the connection comes from, and nobody may claim another's
    certificate."""
    manager = _manager(options.stat_prefix, mesh)
    manager.server_name = "istio-envoy"
    manager.use_remote_address.value = True
    manager.xff_num_trusted_hops = options.topology.trusted_proxies
    manager.forward_client_cert_details = _FORWARD.get(options.topology.forward_client_cert, _Manager.SANITIZE_SET)
    details = manager.set_current_client_cert_details
    details.subject.value, details.cert, details.dns, details.uri = True, True, True, True
    manager.rds.config_source.CopyFrom(ads_source())
    manager.rds.route_config_name = options.route_name
    return _filter(manager, _calling(default_filters(grpc_web=options.grpc_web), options, mesh))


def outbound_manager(options: Outbound, mesh: MeshConfig) -> listener_components_pb2.Filter:
    """The network filter for requests that leave."""
    manager = _manager(options.stat_prefix, mesh)
    if options.routes is not None:
        manager.route_config.CopyFrom(options.routes)
    else:
        manager.rds.config_source.CopyFrom(ads_source())
        manager.rds.route_config_name = options.route_name
    if options.is_forward_proxy:
        manager.http_protocol_options.allow_absolute_url.value = True
    defaults = default_filters(sniffs=options.sniffs, grpc_web=options.grpc_web)
    return _filter(manager, _calling(defaults, options, mesh))


def inbound_manager(options: Inbound, mesh: MeshConfig) -> listener_components_pb2.Filter:
    """The network filter for requests that arrive: tells the application who is calling, and ends old connections."""
    manager = _manager(options.stat_prefix, mesh)
    manager.server_name = "istio-envoy"
    manager.forward_client_cert_details = _Manager.APPEND_FORWARD
    details = manager.set_current_client_cert_details
    details.subject.value, details.uri, details.dns = True, True, True
    if mesh.max_inbound_connection_duration:
        # Certificates are checked at the handshake only: this bounds how long an expired one is good.
        manager.common_http_protocol_options.max_connection_duration.CopyFrom(
            duration(mesh.max_inbound_connection_duration)
        )
    manager.route_config.CopyFrom(options.routes)
    return _filter(manager, default_filters(grpc_web=options.grpc_web))


def _calling(filters: list[Placed], options: Edge | Outbound, mesh: MeshConfig) -> list[Placed]:
    """With those of who calls others: they keep sessions, and look up names."""
    if options.sessions:
        filters.append(session_filter())
    if options.dynamic_dns:
        filters.append(dynamic_dns_filter(mesh, options.families))
    return filters


def _filter(
    manager: http_connection_manager_pb2.HttpConnectionManager, filters: list[Placed]
) -> listener_components_pb2.Filter:
    manager.http_filters.extend(ordered(filters))
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(manager))


def _manager(stat_prefix: str, mesh: MeshConfig) -> http_connection_manager_pb2.HttpConnectionManager:
    manager = _Manager(
        codec_type=_Manager.AUTO,
        stat_prefix=stat_prefix,
        use_remote_address=boolean(False),
        stream_idle_timeout=duration_pb2.Duration(),
        proxy_100_continue=True,
        path_with_escaped_slashes_action=_Manager.KEEP_UNCHANGED,
        access_log=access_logs(mesh),
        upgrade_configs=[_Manager.UpgradeConfig(upgrade_type="websocket")],
    )
    normalization = mesh.path_normalization.normalization
    manager.normalize_path.value = normalization is not Normalization.NONE
    if normalization in (Normalization.MERGE_SLASHES, Normalization.DECODE_AND_MERGE_SLASHES):
        manager.merge_slashes = True
    if normalization is Normalization.DECODE_AND_MERGE_SLASHES:
        manager.path_with_escaped_slashes_action = _Manager.UNESCAPE_AND_FORWARD
    return manager
