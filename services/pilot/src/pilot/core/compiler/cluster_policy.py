"""What a DestinationRule's traffic policy does to a cluster: load balancer, connection pool, outlier detection.
Pure."""

from datetime import timedelta
from math import isqrt
from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from meshcore.model.destination_rule import (
    ConnectionPoolSettings,
    ConsistentHash,
    H2UpgradePolicy,
    LoadBalancerSettings,
    OutlierDetection,
    RetryBudget,
    SimpleLb,
    TcpKeepalive,
)
from meshcore.model.mesh_config import MeshConfig
from meshcore.protocol import Protocol

from pilot.core.compiler.messages import UINT32_MAX, any_of, duration, uint32
from pilot.core.compiler.priorities import PlaceSetting

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OPTIONS = http_protocol_options_pb2.HttpProtocolOptions
_MIN_RING_SIZE = 1024
_LARGEST_RING = 8_388_608
"""Envoy takes no larger one."""
_KEEPALIVE_TIMEOUT = timedelta(seconds=10)
"""Envoy insists on one; the API does not."""
_SLOW_START_MIN_PERCENT = 10.0
_SIMPLE = {
    SimpleLb.UNSPECIFIED: cluster_pb2.Cluster.LEAST_REQUEST,
    SimpleLb.LEAST_CONN: cluster_pb2.Cluster.LEAST_REQUEST,
    SimpleLb.LEAST_REQUEST: cluster_pb2.Cluster.LEAST_REQUEST,
    SimpleLb.RANDOM: cluster_pb2.Cluster.RANDOM,
    SimpleLb.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
}


def apply_connection_pool(
    cluster: Any, mesh: MeshConfig, pool: ConnectionPoolSettings | None, budget: RetryBudget | None = None
) -> None:
    """Connect timeout, keepalive and circuit breakers; no limit unless one is set (Istio's default)."""
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)
    cluster.connect_timeout.CopyFrom(
        duration(tcp.connect_timeout if tcp and tcp.connect_timeout else mesh.connect_timeout)
    )
    _apply_keepalive(cluster, mesh.tcp_keepalive, tcp.tcp_keepalive if tcp else None)
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=uint32((tcp.max_connections if tcp else 0) or UINT32_MAX),
        max_pending_requests=uint32((http.http1_max_pending_requests if http else 0) or UINT32_MAX),
        max_requests=uint32((http.http2_max_requests if http else 0) or UINT32_MAX),
        max_retries=uint32((http.max_retries if http else 0) or UINT32_MAX),
    )
    if budget is not None:
        threshold.retry_budget.budget_percent.value = 20.0 if budget.percent is None else budget.percent
        threshold.retry_budget.min_retry_concurrency.value = budget.min_retry_concurrency or 3
        threshold.ClearField("max_retries")
    cluster.circuit_breakers.thresholds.append(threshold)


def _apply_keepalive(cluster: Any, general: TcpKeepalive | None, special: TcpKeepalive | None) -> None:
    settings = [item for item in (general, special) if item is not None]
    if not settings:
        return
    keepalive = cluster.upstream_connection_options.tcp_keepalive
    keepalive.SetInParent()
    for item in settings:
        if item.probes:
            keepalive.keepalive_probes.value = item.probes
        if item.time:
            keepalive.keepalive_time.value = int(item.time.total_seconds())
        if item.interval:
            keepalive.keepalive_interval.value = int(item.interval.total_seconds())


def apply_load_balancer(cluster: Any, settings: LoadBalancerSettings | None) -> None:
    """LEAST_REQUEST unless the rule says otherwise; ORIGINAL_DST clusters choose for themselves."""
    if cluster.HasField("cluster_type"):
        return  # it chooses for itself, and says so
    if cluster.type == cluster_pb2.Cluster.ORIGINAL_DST:
        cluster.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED
        return
    if settings is not None and settings.consistent_hash is not None:
        _apply_consistent_hash(cluster, settings.consistent_hash)
        return
    simple = settings.simple if settings and settings.simple else SimpleLb.UNSPECIFIED
    cluster.lb_policy = _SIMPLE.get(simple, cluster_pb2.Cluster.LEAST_REQUEST)
    if settings is not None and (settings.warmup is not None or settings.warmup_duration_secs is not None):
        _apply_slow_start(cluster, settings)


def apply_locality_weights(cluster: Any, place: PlaceSetting, outliers: OutlierDetection | None) -> None:
    """Without this Envoy does not look at the weights of localities. Set where they count: with `distribute`, and with
    failover of one's own where that acts."""
    chooses = cluster.HasField("cluster_type") or cluster.type == cluster_pb2.Cluster.ORIGINAL_DST
    if not chooses and place.has_weights(outliers):
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()


def _apply_consistent_hash(cluster: Any, settings: ConsistentHash) -> None:
    if settings.maglev is not None:
        cluster.lb_policy = cluster_pb2.Cluster.MAGLEV
        if _is_prime(settings.maglev.table_size):  # Envoy takes no other size
            cluster.maglev_lb_config.table_size.value = settings.maglev.table_size
        return
    cluster.lb_policy = cluster_pb2.Cluster.RING_HASH
    size = (settings.ring_hash.minimum_ring_size if settings.ring_hash else 0) or settings.minimum_ring_size
    cluster.ring_hash_lb_config.minimum_ring_size.value = min(size or _MIN_RING_SIZE, _LARGEST_RING)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, isqrt(number) + 1))


def _apply_slow_start(cluster: Any, settings: LoadBalancerSettings) -> None:
    warmup = settings.warmup
    window = warmup.duration if warmup else settings.warmup_duration_secs
    if not window or cluster.lb_policy not in (cluster_pb2.Cluster.LEAST_REQUEST, cluster_pb2.Cluster.ROUND_ROBIN):
        return
    least = cluster.lb_policy == cluster_pb2.Cluster.LEAST_REQUEST
    config = (cluster.least_request_lb_config if least else cluster.round_robin_lb_config).slow_start_config
    config.slow_start_window.CopyFrom(duration(window))
    config.aggression.default_value = warmup.aggression if warmup and warmup.aggression is not None else 1.0
    config.aggression.runtime_key = "meshcore.slow_start.aggression"
    minimum = warmup.minimum_percent if warmup and warmup.minimum_percent is not None else _SLOW_START_MIN_PERCENT
    config.min_weight_percent.CopyFrom(percent_pb2.Percent(value=minimum))


def apply_outlier_detection(cluster: Any, settings: OutlierDetection | None) -> None:
    """Only if the rule has it; success-rate ejection is off, panic routing is off unless a minimum is asked for."""
    if settings is None or cluster.type == cluster_pb2.Cluster.ORIGINAL_DST:
        return
    out = outlier_detection_pb2.OutlierDetection(enforcing_success_rate=uint32(0))
    if settings.consecutive_5xx_errors is not None:
        out.consecutive_5xx.value = settings.consecutive_5xx_errors
        out.enforcing_consecutive_5xx.value = 100 if settings.consecutive_5xx_errors else 0
    if settings.consecutive_gateway_errors is not None:
        out.consecutive_gateway_failure.value = settings.consecutive_gateway_errors
        out.enforcing_consecutive_gateway_failure.value = 100 if settings.consecutive_gateway_errors else 0
    if settings.interval is not None:
        out.interval.CopyFrom(duration(settings.interval))
    if settings.base_ejection_time is not None:
        out.base_ejection_time.CopyFrom(duration(settings.base_ejection_time))
    if settings.max_ejection_percent:
        out.max_ejection_percent.value = settings.max_ejection_percent
    if settings.split_external_local_origin_errors:
        out.split_external_local_origin_errors = True
        if settings.consecutive_local_origin_failures:
            out.consecutive_local_origin_failure.value = settings.consecutive_local_origin_failures
            out.enforcing_consecutive_local_origin_failure.value = 100
        out.enforcing_local_origin_success_rate.value = 0
    cluster.outlier_detection.CopyFrom(out)
    cluster.common_lb_config.healthy_panic_threshold.value = float(settings.min_health_percent)


def apply_http_options(
    cluster: Any,
    protocol: Protocol,
    pool: ConnectionPoolSettings | None,
    *,
    sniffs: bool,
    auto_sni: bool = False,
    auto_san: bool = False,
    upgrades: bool = True,
    mesh_upgrades: bool = False,
) -> None:
    """Which HTTP version the upstream is spoken to in, and limits of its connections.

    `auto_sni`: the TLS server name is the host of the request; `auto_san`: so is the name in the certificate.
    `upgrades` is False towards the application: HTTP/2 that callers wish for is between the proxies.
    `sniffs` is True where one cluster serves callers of either version, so that it has to follow them. `mesh_upgrades`
    is MeshConfig's wish for HTTP/2: it holds for HTTP ports whose rule says nothing.
    """
    http = pool.http if pool else None
    tcp = pool.tcp if pool else None
    options = _OPTIONS()
    wish = http.h2_upgrade_policy if http is not None else H2UpgradePolicy.DEFAULT
    upgrade = upgrades and wish is H2UpgradePolicy.UPGRADE and not protocol.is_tcp
    upgrade |= mesh_upgrades and wish is H2UpgradePolicy.DEFAULT and protocol.is_http
    if (protocol is Protocol.AUTO and sniffs) or (http is not None and http.use_client_protocol):
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        _http2(options.use_downstream_protocol_config.http2_protocol_options, pool)
    elif protocol.is_http2 or upgrade:
        _http2(options.explicit_http_config.http2_protocol_options, pool)
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    common = protocol_pb2.HttpProtocolOptions()
    idle = (http.idle_timeout if http else None) or (tcp.idle_timeout if tcp else None)
    if idle is not None:
        common.idle_timeout.CopyFrom(duration(idle))
    if http is not None and http.max_requests_per_connection:
        common.max_requests_per_connection.value = http.max_requests_per_connection
    if tcp is not None and tcp.max_connection_duration is not None:
        common.max_connection_duration.CopyFrom(duration(tcp.max_connection_duration))
    if common.ByteSize():
        options.common_http_protocol_options.CopyFrom(common)
    if auto_sni:
        options.upstream_http_protocol_options.CopyFrom(
            protocol_pb2.UpstreamHttpProtocolOptions(auto_sni=True, auto_san_validation=auto_san)
        )
    plain = protocol.is_tcp or protocol in (Protocol.HTTP, Protocol.HTTP_PROXY, Protocol.AUTO)
    if plain and options == _PLAIN:
        return  # what Envoy does without being told
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(any_of(options))


_PLAIN = _OPTIONS()
_PLAIN.explicit_http_config.http_protocol_options.SetInParent()


def _http2(options: Any, pool: ConnectionPoolSettings | None) -> None:
    options.SetInParent()
    http = pool.http if pool else None
    if http is None:
        return
    if http.max_concurrent_streams:
        options.max_concurrent_streams.value = http.max_concurrent_streams
    if http.http2_keep_alive is not None and http.http2_keep_alive.interval is not None:
        options.connection_keepalive.interval.CopyFrom(duration(http.http2_keep_alive.interval))
        options.connection_keepalive.timeout.CopyFrom(duration(http.http2_keep_alive.timeout or _KEEPALIVE_TIMEOUT))
