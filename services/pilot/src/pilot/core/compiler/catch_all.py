"""Clusters for what nobody knows: closed, passed on to where it was going, or looked up. Pure."""

from collections.abc import Iterator

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import duration_pb2
from meshcore.model.destination_rule import TlsMode
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds.names import (
    ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
    BLACK_HOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
)
from meshcore.xds.origin import Origins
from meshcore.xds.types import CLUSTER_TYPE

from pilot.core.compiler import tls
from pilot.core.compiler.address_families import Families
from pilot.core.compiler.cache import Same
from pilot.core.compiler.cluster_policy import HTTP_OPTIONS, apply_connection_pool, apply_load_balancer
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.dynamic_dns import apply_dynamic
from pilot.core.compiler.messages import any_of, duration, source_bind
from pilot.core.proxy import ProxyType

_PASSTHROUGH_IDLE = duration_pb2.Duration(seconds=300)
_Type = cluster_pb2.Cluster


def catch_all_clusters(work: Compilation) -> Iterator[Compiled]:
    """BlackHoleCluster everywhere; on sidecars PassthroughCluster and InboundPassthroughCluster too."""
    mesh = work.mesh
    origins = work.mesh_origins
    families, proxy_type, looks_up = work.families, work.proxy_class.type, work.scope.looks_up_any
    key = ("catch-all", Same(mesh), proxy_type, families, looks_up)
    yield from work.memo(key, lambda: tuple(_catch_all(mesh, proxy_type, families, origins, looks_up=looks_up)))


def _catch_all(
    mesh: MeshConfig, proxy_type: ProxyType, families: Families, origins: Origins, *, looks_up: bool
) -> Iterator[Compiled]:
    hole = _Type(name=BLACK_HOLE_CLUSTER, alt_stat_name=f"{BLACK_HOLE_CLUSTER};", type=_Type.STATIC)
    hole.connect_timeout.CopyFrom(duration(mesh.connect_timeout))
    yield packed(CLUSTER_TYPE, BLACK_HOLE_CLUSTER, hole, beside=origins)
    if proxy_type is not ProxyType.SIDECAR:
        return
    looked_up = (ALLOW_ANY_DYNAMIC_DNS_CLUSTER,) if looks_up else ()
    for name in (PASSTHROUGH_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, *looked_up):
        cluster = _Type(name=name, alt_stat_name=f"{name};", type=_Type.ORIGINAL_DST)
        general = mesh.default_traffic_policy
        apply_connection_pool(cluster, mesh, general.connection_pool if general else None)
        apply_load_balancer(cluster, None)
        _follow_callers(cluster)
        if name == ALLOW_ANY_DYNAMIC_DNS_CLUSTER:
            apply_dynamic(cluster, mesh, families)
            _originate_tls(cluster, mesh)
        if name == INBOUND_PASSTHROUGH_CLUSTER:
            cluster.upstream_bind_config.CopyFrom(source_bind(*families.all_loop_sources))
        yield packed(CLUSTER_TYPE, name, cluster, beside=origins)


def _originate_tls(cluster: cluster_pb2.Cluster, mesh: MeshConfig) -> None:
    """As MeshConfig says; without a server name to a server that is called as the request's host."""
    settings = mesh.outbound_traffic_policy.tls
    if settings is None or settings.mode not in (TlsMode.SIMPLE, TlsMode.MUTUAL) or settings.credential_name:
        return
    cluster.transport_socket.CopyFrom(tls.configured_socket(settings, (), mesh, is_http2=False))
    if not settings.sni:
        _follow_callers(cluster, by_host=True, checked=not settings.insecure_skip_verify)


def _follow_callers(cluster: cluster_pb2.Cluster, *, by_host: bool = False, checked: bool = False) -> None:
    """Speak the HTTP that the caller speaks; `by_host`: the request's host is the server name, and `checked`."""
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.use_downstream_protocol_config.http_protocol_options.SetInParent()
    options.use_downstream_protocol_config.http2_protocol_options.SetInParent()
    options.common_http_protocol_options.idle_timeout.CopyFrom(_PASSTHROUGH_IDLE)
    if by_host:
        options.upstream_http_protocol_options.auto_sni = True
        options.upstream_http_protocol_options.auto_san_validation = checked
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(any_of(options))
