"""ProxyConfig of the mesh config: how a proxy is started (mesh/v1alpha1). A pod's annotation and the ProxyConfig kind
replace single fields of it."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import AnyDuration, Bool, Double, Int32, MeshModel, UInt32
from meshcore.model.connection_settings import ConnectionSettings
from meshcore.model.destination_rule import ClientTlsSettings, TcpKeepalive
from meshcore.model.extension_provider import Nothing, TraceContext
from meshcore.model.workload import ReadinessProbe


class TracerAddress(MeshModel):
    """Where a tracer listens, HOST:PORT."""

    address: str = ""


class LightstepTracer(TracerAddress):
    """Lightstep's satellites."""

    access_token: Annotated[str, Field(repr=False)] = ""


class StackdriverTracer(MeshModel):
    """Google Cloud's tracer."""

    debug: Bool = False
    max_number_of_attributes: Int32 | None = None
    max_number_of_annotations: Int32 | None = None
    max_number_of_message_events: Int32 | None = None


class OpenCensusTracer(TracerAddress):
    """An OpenCensus agent."""

    context: tuple[TraceContext, ...] = ()


class LiteralValue(MeshModel):
    """A constant."""

    value: str = ""


class NamedValue(MeshModel):
    """The value of an environment variable or header."""

    name: str = ""
    default_value: str = ""


class ProxyCustomTag(MeshModel):
    """A tag of spans."""

    literal: LiteralValue | None = None
    environment: NamedValue | None = None
    header: NamedValue | None = None
    one_of = (("literal", "environment", "header"),)


class ProxyTracing(MeshModel):
    """Tracing without the Telemetry API."""

    zipkin: TracerAddress | None = None
    lightstep: LightstepTracer | None = None
    datadog: TracerAddress | None = None
    stackdriver: StackdriverTracer | None = None
    open_census_agent: OpenCensusTracer | None = None
    custom_tags: Mapping[str, ProxyCustomTag] = {}
    max_path_tag_length: UInt32 = 0
    sampling: Double = 0.0
    tls_settings: ClientTlsSettings | None = None
    enable_istio_tags: Bool | None = None
    one_of = (("zipkin", "lightstep", "datadog", "stackdriver", "open_census_agent"),)


class AuthenticationPolicy(StrEnum):
    """How a proxy speaks to the control plane."""

    NONE = "NONE"
    MUTUAL_TLS = "MUTUAL_TLS"
    INHERIT = "INHERIT"


class TracingServiceName(StrEnum):
    """How a workload is called in traces."""

    APP_LABEL_AND_NAMESPACE = "APP_LABEL_AND_NAMESPACE"
    CANONICAL_NAME_ONLY = "CANONICAL_NAME_ONLY"
    CANONICAL_NAME_AND_NAMESPACE = "CANONICAL_NAME_AND_NAMESPACE"


class InterceptionMode(StrEnum):
    """How inbound traffic gets to the proxy."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


class ForwardClientCert(StrEnum):
    """What becomes of the header x-forwarded-client-cert."""

    UNDEFINED = "UNDEFINED"
    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


class Topology(MeshModel):
    """What stands before a gateway."""

    num_trusted_proxies: UInt32 = 0
    forward_client_cert_details: ForwardClientCert = ForwardClientCert.UNDEFINED
    proxy_protocol: Nothing | None = None


class SdsSettings(MeshModel):
    """Deprecated; kept so that old files are read."""

    enabled: Bool = False
    k8s_sa_jwt_path: str = ""


class RemoteService(MeshModel):
    """A service outside the registry."""

    address: str = ""
    tls_settings: ClientTlsSettings | None = None
    tcp_keepalive: TcpKeepalive | None = None


class KeyProvider(MeshModel):
    """An accelerator of private key operations."""

    poll_delay: AnyDuration | None = None
    fallback: Bool | None = None


class PrivateKeyProvider(MeshModel):
    """Which accelerator."""

    cryptomb: KeyProvider | None = None
    qat: KeyProvider | None = None
    one_of = (("cryptomb", "qat"),)


class StatsMatcher(MeshModel):
    """Envoy statistics beside those that are always made."""

    inclusion_prefixes: tuple[str, ...] = ()
    inclusion_suffixes: tuple[str, ...] = ()
    inclusion_regexps: tuple[str, ...] = ()


class HeaderOff(MeshModel):
    """A header that can be left out."""

    disabled: Bool | None = None


class HeaderOn(MeshModel):
    """A header that can be asked for."""

    enabled: Bool | None = None


class ServerHeader(HeaderOff):
    """The header `server`."""

    value: str = ""


class MetadataExchangeMode(StrEnum):
    """To whom the metadata exchange headers are sent."""

    UNDEFINED = "UNDEFINED"
    IN_MESH = "IN_MESH"


class MetadataExchangeHeaders(MeshModel):
    """Headers in which proxies tell who they are."""

    mode: MetadataExchangeMode = MetadataExchangeMode.UNDEFINED


class ClientCertDetails(MeshModel):
    """Parts of the client's certificate that are told."""

    subject: Bool | None = None
    cert: Bool | None = None
    chain: Bool | None = None
    dns: Bool | None = None
    uri: Bool | None = None


class ProxyHeaders(MeshModel):
    """Headers that a proxy adds."""

    forwarded_client_cert: ForwardClientCert = ForwardClientCert.UNDEFINED
    set_current_client_cert_details: ClientCertDetails | None = None
    request_id: HeaderOff | None = None
    server: ServerHeader | None = None
    attempt_count: HeaderOff | None = None
    envoy_debug_headers: HeaderOff | None = None
    metadata_exchange_headers: MetadataExchangeHeaders | None = None
    preserve_http1_header_case: Bool | None = None
    x_forwarded_host: HeaderOn | None = None
    x_forwarded_port: HeaderOn | None = None


class ProxyImageType(MeshModel):
    """Which image of the proxy: default, debug, distroless."""

    image_type: str = ""


class DefaultProxyConfig(MeshModel):
    """How a proxy is started; defaults are Istio's."""

    config_path: str = "./etc/istio/proxy"
    binary_path: str = "/usr/local/bin/envoy"
    service_cluster: str | None = None
    """`istio-proxy` when neither this nor `tracing_service_name` is set."""
    tracing_service_name: TracingServiceName | None = None
    drain_duration: AnyDuration = timedelta(seconds=45)
    discovery_address: str = "istiod.istio-system.svc:15012"
    discovery_refresh_delay: AnyDuration | None = None
    zipkin_address: str = ""
    statsd_udp_address: str = ""
    envoy_metrics_service_address: str = ""
    proxy_admin_port: Int32 = 15000
    availability_zone: str = ""
    control_plane_auth_policy: AuthenticationPolicy = AuthenticationPolicy.MUTUAL_TLS
    custom_config_file: str = ""
    stat_name_length: Int32 = 189
    concurrency: Int32 | None = None
    proxy_bootstrap_template_path: str = ""
    interception_mode: InterceptionMode = InterceptionMode.REDIRECT
    tracing: ProxyTracing | None = None
    sds: SdsSettings | None = None
    envoy_access_log_service: RemoteService | None = None
    envoy_metrics_service: RemoteService | None = None
    proxy_metadata: Mapping[str, str] = {}
    runtime_values: Mapping[str, str] = {}
    status_port: Int32 = 15020
    extra_stat_tags: tuple[str, ...] = ()
    gateway_topology: Topology | None = None
    termination_drain_duration: AnyDuration = timedelta(seconds=5)
    mesh_id: str = ""
    readiness_probe: ReadinessProbe | None = None
    proxy_stats_matcher: StatsMatcher | None = None
    hold_application_until_proxy_starts: Bool | None = None
    ca_certificates_pem: tuple[str, ...] = ()
    image: ProxyImageType | None = None
    private_key_provider: PrivateKeyProvider | None = None
    proxy_headers: ProxyHeaders | None = None
    file_flush_interval: AnyDuration | None = None
    file_flush_min_size_kb: UInt32 = 0
    stats_compression: Bool | None = None
    connection_settings: ConnectionSettings | None = None
    one_of = (("service_cluster", "tracing_service_name"),)
