"""TCP proxy filters: one cluster, or several by weight, and what a DestinationRule wants of connections. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.network.mongo_proxy.v3 import mongo_proxy_pb2
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshcore.model.mesh_config import MeshConfig

from pilot.core.compiler.access_log import access_logs
from pilot.core.compiler.messages import any_of, authority, duration
from pilot.core.visibility.destination_rules import ServiceRule

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


def mongo_proxy(stat_prefix: str) -> listener_components_pb2.Filter:
    """Counts what is asked of a MongoDB server and how long it takes; bytes that are none of its protocol pass all the
    same."""
    config = mongo_proxy_pb2.MongoProxy(stat_prefix=stat_prefix)
    return listener_components_pb2.Filter(name="envoy.filters.network.mongo_proxy", typed_config=any_of(config))


@dataclass(frozen=True)
class TcpPolicy:
    """How connections are passed on; `tunnel` is `host:port` for a proxy that connects to it by request."""

    idle_timeout: timedelta | None = None
    longest: timedelta | None = None
    by_address: bool = False
    """Whether the caller's address chooses the endpoint."""
    tunnel: str = ""
    by_post: bool = False
    """The request is a POST in place of a CONNECT."""


USUAL = TcpPolicy()


def tcp_policy(rule: ServiceRule, port: int, subset: str, *, tunnels: bool = True) -> TcpPolicy:
    """What the rule of a service says of connections to a port and subset; a subset's tunnel is its own alone."""
    policy = rule.policy_of(port, subset)
    pool = policy.connection_pool.tcp if policy.connection_pool else None
    hashed = policy.load_balancer.consistent_hash if policy.load_balancer else None
    if subset:
        found = rule.subset(subset)
        general = found.traffic_policy if found is not None else None
    else:
        general = rule.policy
    tunnel = general.tunnel if general is not None and tunnels else None
    return TcpPolicy(
        pool.idle_timeout if pool else None,
        pool.max_connection_duration if pool else None,
        bool(hashed and hashed.use_source_ip),
        authority(tunnel.target_host, tunnel.target_port) if tunnel else "",
        tunnel is not None and tunnel.protocol == "POST",
    )


def tcp_proxy(
    cluster: str, mesh: MeshConfig, stat_prefix: str = "", policy: TcpPolicy = USUAL
) -> listener_components_pb2.Filter:
    """Pass the bytes on to a cluster; its name is the prefix of the statistics unless one is given."""
    config = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix or cluster, cluster=cluster)
    return _filter(config, mesh, policy)


def weighted_tcp_proxy(
    clusters: Sequence[tuple[str, int]], mesh: MeshConfig, stat_prefix: str, policy: TcpPolicy = USUAL
) -> listener_components_pb2.Filter:
    """Choose a cluster by weight for each connection."""
    config = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix)
    for name, weight in clusters:
        config.weighted_clusters.clusters.add(name=name, weight=weight)
    return _filter(config, mesh, policy)


def _filter(config: tcp_proxy_pb2.TcpProxy, mesh: MeshConfig, policy: TcpPolicy) -> listener_components_pb2.Filter:
    config.access_log.extend(access_logs(mesh))
    if policy.idle_timeout is not None:
        config.idle_timeout.CopyFrom(duration(policy.idle_timeout))
    if policy.longest is not None:
        config.max_downstream_connection_duration.CopyFrom(duration(policy.longest))
    if policy.by_address:
        config.hash_policy.add().source_ip.SetInParent()
    if policy.tunnel:
        config.tunneling_config.hostname = policy.tunnel
        config.tunneling_config.use_post = policy.by_post
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(config))
