"""Extension providers of the mesh config: who authorizes, traces and logs for policies that name them.
(mesh/v1alpha1)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from meshcore.model.base import AnyDuration, Bool, Int32, MeshModel, UInt32


class ProviderService(MeshModel):
    """A service of the registry: `[NAMESPACE/]HOST`, and its port."""

    service: str = ""
    port: UInt32 = 0


class ExtAuthzBody(MeshModel):
    """How much of a request's body goes along with the question."""

    max_request_bytes: UInt32 = 0
    allow_partial_message: Bool = False
    pack_as_bytes: Bool = False


class ExtAuthzGrpc(ProviderService):
    """Envoy's ext_authz over gRPC; `status_on_error` when the service does not answer."""

    timeout: AnyDuration | None = None
    fail_open: Bool = False
    clear_route_cache: Bool = False
    status_on_error: str = ""
    include_request_body_in_check: ExtAuthzBody | None = None


class ExtAuthzHttp(ExtAuthzGrpc):
    """Envoy's ext_authz over HTTP; lists of headers may end or begin with `*`."""

    path_prefix: str = ""
    include_headers_in_check: tuple[str, ...] = ()
    include_request_headers_in_check: tuple[str, ...] = ()
    include_additional_headers_in_check: Mapping[str, str] = {}
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()


class ProviderHeader(MeshModel):
    """A header that is sent to the provider: a value, or the environment variable that has it."""

    name: str = ""
    value: str | None = None
    env_name: str | None = None
    one_of = (("value", "env_name"),)


class HttpService(MeshModel):
    """How a provider is called over HTTP."""

    path: str = ""
    timeout: AnyDuration | None = None
    headers: tuple[ProviderHeader, ...] = ()


class GrpcService(MeshModel):
    """How a provider is called over gRPC."""

    timeout: AnyDuration | None = None
    initial_metadata: tuple[ProviderHeader, ...] = ()


class TraceContextOption(StrEnum):
    """Which headers carry the trace."""

    USE_B3 = "USE_B3"
    USE_B3_WITH_W3C_PROPAGATION = "USE_B3_WITH_W3C_PROPAGATION"


class ZipkinProvider(ProviderService):
    """Zipkin's API."""

    max_tag_length: UInt32 = 0
    enable_64bit_trace_id: Annotated[Bool, Field(alias="enable64bitTraceId")] = False
    path: str = ""
    trace_context_option: TraceContextOption = TraceContextOption.USE_B3
    timeout: AnyDuration | None = None
    headers: tuple[ProviderHeader, ...] = ()


class LightstepProvider(ProviderService):
    """Lightstep, by OpenTelemetry."""

    access_token: Annotated[str, Field(repr=False)] = ""
    max_tag_length: UInt32 = 0


class DatadogProvider(ProviderService):
    """A Datadog agent."""

    max_tag_length: UInt32 = 0


class SkyWalkingProvider(ProviderService):
    """A SkyWalking receiver."""

    access_token: Annotated[str, Field(repr=False)] = ""


class StackdriverLogging(MeshModel):
    """Labels of log entries, as CEL expressions."""

    labels: Mapping[str, str] = {}


class StackdriverProvider(MeshModel):
    """Google Cloud's operations suite."""

    debug: Bool = False
    max_number_of_attributes: Int32 | None = None
    max_number_of_annotations: Int32 | None = None
    max_number_of_message_events: Int32 | None = None
    max_tag_length: UInt32 = 0
    logging: StackdriverLogging | None = None


class TraceContext(StrEnum):
    """A form of trace headers."""

    UNSPECIFIED = "UNSPECIFIED"
    W3C_TRACE_CONTEXT = "W3C_TRACE_CONTEXT"
    GRPC_BIN = "GRPC_BIN"
    CLOUD_TRACE_CONTEXT = "CLOUD_TRACE_CONTEXT"
    B3 = "B3"


class OpenCensusProvider(ProviderService):
    """An OpenCensus agent (deprecated by its makers)."""

    context: tuple[TraceContext, ...] = ()
    max_tag_length: UInt32 = 0


class Nothing(MeshModel):
    """A message without fields: being there is what it says."""


class ResourceDetectors(MeshModel):
    """Where resource attributes are read from."""

    environment: Nothing | None = None
    dynatrace: Nothing | None = None


class AttributeEnrichment(StrEnum):
    """How a service is named in its attributes."""

    ISTIO_CANONICAL = "ISTIO_CANONICAL"
    OTEL_SEMANTIC_CONVENTIONS = "OTEL_SEMANTIC_CONVENTIONS"


class DynatraceApi(ProviderService):
    """Where the sampler gets its targets."""

    http: HttpService | None = None


class DynatraceSampler(MeshModel):
    """Sampling as Dynatrace says."""

    tenant: str = ""
    cluster_id: Int32 = 0
    root_spans_per_minute: UInt32 = 0
    http_service: DynatraceApi | None = None


class OpenTelemetryProvider(ProviderService):
    """OTLP traces over gRPC, or over HTTP when `http` is there."""

    max_tag_length: UInt32 = 0
    http: HttpService | None = None
    grpc: GrpcService | None = None
    resource_detectors: ResourceDetectors | None = None
    service_attribute_enrichment: AttributeEnrichment = AttributeEnrichment.ISTIO_CANONICAL
    dynatrace_sampler: DynatraceSampler | None = None


class LogFormat(MeshModel):
    """A line of text, or fields (`{}`: Envoy's own)."""

    text: str | None = None
    labels: Mapping[str, Any] | None = None


class FileLogFormat(LogFormat):
    """One of the two."""

    one_of = (("text", "labels"),)


class FileLogProvider(MeshModel):
    """Access logs into a file; `/dev/stdout` when no path is given."""

    path: str = ""
    log_format: FileLogFormat | None = None
    omit_empty_values: Bool = False


class TcpGrpcLogProvider(ProviderService):
    """Envoy's access log service, for TCP."""

    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()


class HttpGrpcLogProvider(TcpGrpcLogProvider):
    """Envoy's access log service, for HTTP."""

    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()


class OtelLogProvider(ProviderService):
    """Access logs by OpenTelemetry."""

    log_name: str = ""
    log_format: LogFormat | None = None


class SdsProvider(ProviderService):
    """Certificates from another SDS server."""

    name: str = ""


class ExtensionProvider(MeshModel):
    """A name for one of the providers."""

    name: str = ""
    envoy_ext_authz_http: ExtAuthzHttp | None = None
    envoy_ext_authz_grpc: ExtAuthzGrpc | None = None
    zipkin: ZipkinProvider | None = None
    lightstep: LightstepProvider | None = None
    datadog: DatadogProvider | None = None
    stackdriver: StackdriverProvider | None = None
    opencensus: OpenCensusProvider | None = None
    skywalking: SkyWalkingProvider | None = None
    opentelemetry: OpenTelemetryProvider | None = None
    prometheus: Nothing | None = None
    envoy_file_access_log: FileLogProvider | None = None
    envoy_http_als: HttpGrpcLogProvider | None = None
    envoy_tcp_als: TcpGrpcLogProvider | None = None
    envoy_otel_als: OtelLogProvider | None = None
    sds: SdsProvider | None = None
    one_of = (
        (
            "envoy_ext_authz_http",
            "envoy_ext_authz_grpc",
            "zipkin",
            "lightstep",
            "datadog",
            "stackdriver",
            "opencensus",
            "skywalking",
            "opentelemetry",
            "prometheus",
            "envoy_file_access_log",
            "envoy_http_als",
            "envoy_tcp_als",
            "envoy_otel_als",
            "sds",
        ),
    )


class DefaultProviders(MeshModel):
    """Providers for policies that name none."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()
