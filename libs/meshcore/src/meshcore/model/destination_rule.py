"""DestinationRule: how a service is spoken to once it was chosen (networking.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import (
    AnyDuration,
    Bool,
    Double,
    Duration,
    Int32,
    Labels,
    MeshModel,
    PolicyLabels,
    PortSelector,
    StatusObject,
    UInt32,
    UInt64,
)
from meshcore.model.cel import max_items, maximum, minimum


class TlsMode(StrEnum):
    """Whether and how TLS is originated."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTlsSettings(MeshModel):
    """TLS of the connection to the upstream."""

    mode: TlsMode = TlsMode.DISABLE
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: Bool | None = None


class TcpKeepalive(MeshModel):
    """SO_KEEPALIVE of upstream sockets."""

    probes: UInt32 = 0
    time: Duration | None = None
    interval: Duration | None = None


class TcpSettings(MeshModel):
    """Connection settings of TCP and HTTP upstreams."""

    max_connections: Int32 = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: AnyDuration | None = None


class H2UpgradePolicy(StrEnum):
    """Whether HTTP/1 is upgraded to HTTP/2 towards the upstream."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class Http2KeepAlive(MeshModel):
    """PING frames towards the upstream."""

    interval: Duration | None = None
    timeout: Duration | None = None


class HttpSettings(MeshModel):
    """HTTP settings of the connection pool."""

    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    use_client_protocol: Bool = False
    max_concurrent_streams: Int32 = 0
    http2_keep_alive: Http2KeepAlive | None = None


class ConnectionPoolSettings(MeshModel):
    """Limits towards one host."""

    tcp: TcpSettings | None = None
    http: HttpSettings | None = None


class OutlierDetection(MeshModel):
    """When an endpoint is ejected; unset fields are Envoy's defaults."""

    split_external_local_origin_errors: Bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: Annotated[UInt32 | None, Field(alias="consecutive5xxErrors")] = None
    consecutive_errors: Int32 = 0
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0
    outlier_detection_http_error_codes: tuple[Annotated[int, minimum(100), maximum(599)], ...] = ()


class SimpleLb(StrEnum):
    """Load balancing algorithms without a key."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class HttpCookieAttribute(MeshModel):
    """One attribute of a generated cookie."""

    name: str
    value: str = ""


class HttpCookie(MeshModel):
    """A cookie to hash on; made by the proxy when `ttl` is set."""

    name: str
    path: str = ""
    ttl: AnyDuration | None = None
    attributes: tuple[HttpCookieAttribute, ...] = ()


class RingHash(MeshModel):
    """Ketama ring."""

    minimum_ring_size: UInt64 = 0


class Maglev(MeshModel):
    """Maglev table."""

    table_size: UInt64 = 0


class ConsistentHash(MeshModel):
    """Soft session affinity by one key."""

    http_header_name: str | None = None
    http_cookie: HttpCookie | None = None
    use_source_ip: Bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: UInt64 = 0
    one_of = (
        ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name"),
        ("ring_hash", "maglev"),
    )


class Distribute(MeshModel):
    """Weights by locality, in percent."""

    from_: Annotated[str, Field(alias="from")] = ""
    to: Mapping[str, UInt32] = {}


class Failover(MeshModel):
    """Which region takes over for which."""

    from_: Annotated[str, Field(alias="from")] = ""
    to: str = ""


class LocalityLbSetting(MeshModel):
    """Locality load balancing."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: Bool | None = None


class ZoneAwareLbSetting(MeshModel):
    """Zone-aware routing."""

    enabled: Bool | None = None
    min_cluster_size: Annotated[UInt64, minimum(1)] | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class Warmup(MeshModel):
    """Slow start of new endpoints."""

    duration: Duration
    minimum_percent: Annotated[Double, minimum(0), maximum(100)] | None = None
    aggression: Annotated[Double, minimum(0)] | None = None


class LoadBalancerSettings(MeshModel):
    """How an endpoint is chosen."""

    simple: SimpleLb | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: Warmup | None = None
    one_of = (("simple", "consistent_hash"),)


class ProxyProtocolVersion(StrEnum):
    """PROXY protocol version."""

    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(MeshModel):
    """Send a PROXY protocol header."""

    version: ProxyProtocolVersion = ProxyProtocolVersion.V1


class RetryBudget(MeshModel):
    """Retries in relation to active requests."""

    percent: Annotated[Double, minimum(0), maximum(100)] | None = None
    min_retry_concurrency: UInt32 = 0
    budget_interval: AnyDuration | None = None


class TunnelSettings(MeshModel):
    """Tunnel TCP over HTTP CONNECT or POST."""

    protocol: str = ""
    target_host: str
    target_port: UInt32


class PortTrafficPolicy(MeshModel):
    """The policy of one port; it replaces the general one as a whole."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTlsSettings | None = None


class TrafficPolicy(MeshModel):
    """How connections to the service are made."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTlsSettings | None = None
    port_level_settings: Annotated[tuple[PortTrafficPolicy, ...], max_items(4096)] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(MeshModel):
    """A named part of the service's endpoints, by their labels."""

    name: str
    labels: Labels = {}
    traffic_policy: TrafficPolicy | None = None


class PolicySelector(MeshModel):
    """Selects workloads by labels (type/v1beta1)."""

    match_labels: PolicyLabels = {}


class DestinationRuleSpec(MeshModel):
    """The host, its policy and its subsets."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: PolicySelector | None = None


class DestinationRule(StatusObject):
    """How a service is spoken to."""

    spec: DestinationRuleSpec
