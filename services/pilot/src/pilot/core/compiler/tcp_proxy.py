"""TCP proxy filters: one cluster, or several by weight. Pure."""

from collections.abc import Sequence

from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshcore.model.mesh_config import MeshConfig

from pilot.core.compiler.access_log import access_logs
from pilot.core.compiler.messages import any_of

ALPN_KEY = "envoy.network.application_protocols"
"""The filter state that overrides what the transport socket offers."""
NAME = "envoy.filters.network.tcp_proxy"


def bytes_alpn() -> listener_components_pb2.Filter:
    """Offer the upstream the ALPN of bytes, whatever the cluster would offer."""
    value = value_pb2.FilterStateValue(
        object_key=ALPN_KEY,
        factory_key=ALPN_KEY,
        format_string=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source={"inline_string": "istio"}
        ),
        shared_with_upstream=value_pb2.FilterStateValue.SharedWithUpstream.ONCE,
    )
    config = set_filter_state_pb2.Config(on_new_connection=[value])
    return listener_components_pb2.Filter(name="envoy.filters.network.set_filter_state", typed_config=any_of(config))


def tcp_proxy(cluster: str, mesh: MeshConfig, stat_prefix: str = "") -> listener_components_pb2.Filter:
    """Pass the bytes on to a cluster; its name is the prefix of the statistics unless one is given."""
    config = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix or cluster, cluster=cluster, access_log=access_logs(mesh))
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(config))


def weighted_tcp_proxy(
    clusters: Sequence[tuple[str, int]], mesh: MeshConfig, stat_prefix: str
) -> listener_components_pb2.Filter:
    """Choose a cluster by weight for each connection."""
    config = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix, access_log=access_logs(mesh))
    for name, weight in clusters:
        config.weighted_clusters.clusters.add(name=name, weight=weight)
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(config))
