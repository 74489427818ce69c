"""The tracers behind the providers of the mesh config, as Envoy's. Pure."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from envoy.config.core.v3 import base_pb2, http_service_pb2, http_uri_pb2
from envoy.config.trace.v3 import datadog_pb2, http_tracer_pb2, opentelemetry_pb2, skywalking_pb2, zipkin_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import (
    dynatrace_resource_detector_pb2,
    environment_resource_detector_pb2,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3 import dynatrace_sampler_pb2
from meshcore.model.extension_provider import (
    DatadogProvider,
    DynatraceSampler,
    ExtensionProvider,
    HttpService,
    LightstepProvider,
    OpenTelemetryProvider,
    ProviderHeader,
    ProviderService,
    SkyWalkingProvider,
    TraceContextOption,
    ZipkinProvider,
)

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.messages import any_of, duration
from pilot.core.compiler.telemetry.providers import provider_cluster, refused_part

_ZIPKIN_TIMEOUT = timedelta(seconds=5)
_OTLP_TIMEOUT = timedelta(seconds=3)
_SPANS_PATH = "/api/v2/spans"
_LIGHTSTEP_TOKEN = "lightstep-access-token"
_DETECTORS = "envoy.tracers.opentelemetry.resource_detectors"


class Tracer(NamedTuple):
    """Envoy's tracer; without a `config` the `reason` says why it cannot be had."""

    config: http_tracer_pb2.Tracing.Http | None
    tag_length: int = 0
    """Of the path; 0: not said."""
    samples_by_request_id: bool = True
    reason: str = ""


def tracer_of(work: Compilation, provider: ExtensionProvider) -> Tracer:
    """The tracer that a provider stands for."""
    settings = (
        provider.zipkin or provider.opentelemetry or provider.datadog or provider.skywalking or provider.lightstep
    )
    if settings is None:
        return Tracer(None, reason="it is no tracer that Envoy has")
    if fault := refused_part(work, provider):
        return Tracer(None, reason=fault)
    cluster = provider_cluster(work, settings)
    if not cluster:
        return Tracer(None, reason=_unseen(settings))
    name = _service_name(work)
    if isinstance(settings, ZipkinProvider):
        return Tracer(_tracer("zipkin", _zipkin(settings, cluster)), settings.max_tag_length)
    if isinstance(settings, DatadogProvider):
        made = datadog_pb2.DatadogConfig(
            collector_cluster=cluster, collector_hostname=_host(settings.service), service_name=name
        )
        return Tracer(_tracer("datadog", made), settings.max_tag_length)
    if isinstance(settings, SkyWalkingProvider):
        # its own header says what is sampled, so the request's id must not decide again
        return Tracer(_tracer("skywalking", _skywalking(settings, cluster, name)), samples_by_request_id=False)
    if isinstance(settings, LightstepProvider):
        return Tracer(_tracer("opentelemetry", _lightstep(settings, cluster, name)), settings.max_tag_length)
    config = _opentelemetry(settings, cluster, name)
    if settings.dynatrace_sampler is not None and not _set_dynatrace_sampler(work, config, settings.dynatrace_sampler):
        return Tracer(None, reason=_unseen(settings.dynatrace_sampler.http_service))
    return Tracer(_tracer("opentelemetry", config), settings.max_tag_length)


def _tracer(name: str, config: Any) -> http_tracer_pb2.Tracing.Http:
    return http_tracer_pb2.Tracing.Http(name=f"envoy.tracers.{name}", typed_config=any_of(config))


def _unseen(settings: ProviderService | None) -> str:
    if settings is None:
        return "its Dynatrace sampler names no service to ask"
    return f"the proxy sees no service {settings.service} with port {settings.port}"


def _host(service: str) -> str:
    return service.rpartition("/")[2]


def _service_name(work: Compilation) -> str:
    """Istio's `<app>.<namespace>`."""
    one = work.proxy_class
    return f"{one.label_map.get('app') or one.service_account or 'istio-proxy'}.{one.namespace}"


def _zipkin(settings: ZipkinProvider, cluster: str) -> zipkin_pb2.ZipkinConfig:
    path = settings.path or _SPANS_PATH
    made = zipkin_pb2.ZipkinConfig(
        collector_endpoint_version="HTTP_JSON", trace_id_128bit=not settings.enable_64bit_trace_id
    )
    made.shared_span_context.value = False
    if settings.trace_context_option is TraceContextOption.USE_B3_WITH_W3C_PROPAGATION:
        made.trace_context_option = zipkin_pb2.ZipkinConfig.USE_B3_WITH_W3C_PROPAGATION
    if settings.timeout or settings.headers:
        called = HttpService(path=path, timeout=settings.timeout, headers=settings.headers)
        made.collector_service.CopyFrom(_http_service(called, settings.service, cluster, _ZIPKIN_TIMEOUT))
    else:
        made.collector_cluster, made.collector_endpoint = cluster, path
        made.collector_hostname = _host(settings.service)
    return made


def _skywalking(settings: SkyWalkingProvider, cluster: str, name: str) -> skywalking_pb2.SkyWalkingConfig:
    """Its instances are told apart by the node's id, which Envoy has."""
    made = skywalking_pb2.SkyWalkingConfig()
    made.grpc_service.envoy_grpc.cluster_name = cluster
    made.grpc_service.envoy_grpc.authority = _host(settings.service)
    made.client_config.service_name = name
    made.client_config.backend_token = settings.access_token
    return made


def _lightstep(settings: LightstepProvider, cluster: str, name: str) -> opentelemetry_pb2.OpenTelemetryConfig:
    """Envoy has no other way to it than OTLP."""
    made = opentelemetry_pb2.OpenTelemetryConfig(service_name=name)
    made.grpc_service.envoy_grpc.cluster_name = cluster
    made.grpc_service.envoy_grpc.authority = _host(settings.service)
    if settings.access_token:
        made.grpc_service.initial_metadata.add(key=_LIGHTSTEP_TOKEN, value=settings.access_token)
    return made


def _opentelemetry(
    settings: OpenTelemetryProvider, cluster: str, service_name: str
) -> opentelemetry_pb2.OpenTelemetryConfig:
    made = opentelemetry_pb2.OpenTelemetryConfig(service_name=service_name)
    if settings.http is not None:
        made.http_service.CopyFrom(_http_service(settings.http, settings.service, cluster, _OTLP_TIMEOUT))
    else:
        made.grpc_service.envoy_grpc.cluster_name = cluster
        made.grpc_service.envoy_grpc.authority = _host(settings.service)
        if settings.grpc is not None and settings.grpc.timeout:
            made.grpc_service.timeout.CopyFrom(duration(settings.grpc.timeout))
        if settings.grpc is not None:
            made.grpc_service.initial_metadata.extend(_headers(settings.grpc.initial_metadata))
    detectors = settings.resource_detectors
    if detectors is not None and detectors.environment is not None:
        environment = environment_resource_detector_pb2.EnvironmentResourceDetectorConfig()
        made.resource_detectors.add(name=f"{_DETECTORS}.environment", typed_config=any_of(environment))
    if detectors is not None and detectors.dynatrace is not None:
        dynatrace = dynatrace_resource_detector_pb2.DynatraceResourceDetectorConfig()
        made.resource_detectors.add(name=f"{_DETECTORS}.dynatrace", typed_config=any_of(dynatrace))
    return made


def _set_dynatrace_sampler(
    work: Compilation, config: opentelemetry_pb2.OpenTelemetryConfig, settings: DynatraceSampler
) -> bool:
    """False when nobody can be asked for the targets. Those of the tracer's own service are asked where none is
    named."""
    made = dynatrace_sampler_pb2.DynatraceSamplerConfig(
        tenant=settings.tenant,
        cluster_id=settings.cluster_id,
        root_spans_per_minute=settings.root_spans_per_minute,
    )
    api = settings.http_service
    if api is not None:
        cluster = provider_cluster(work, api)
        if not cluster:
            return False
        made.http_service.CopyFrom(_http_service(api.http or HttpService(), api.service, cluster, _OTLP_TIMEOUT))
    elif config.HasField("http_service"):
        made.http_service.CopyFrom(config.http_service)
    else:
        return False
    config.sampler.name = "envoy.tracers.opentelemetry.samplers.dynatrace"
    config.sampler.typed_config.CopyFrom(any_of(made))
    return True


def _http_service(
    settings: HttpService, service: str, cluster: str, timeout: timedelta
) -> http_service_pb2.HttpService:
    uri = http_uri_pb2.HttpUri(
        uri=f"http://{_host(service)}{settings.path}", cluster=cluster, timeout=duration(settings.timeout or timeout)
    )
    made = http_service_pb2.HttpService(http_uri=uri)
    for header in _headers(settings.headers):
        made.request_headers_to_add.add(header=header)
    return made


def _headers(headers: Iterable[ProviderHeader]) -> list[base_pb2.HeaderValue]:
    """Those with a value; variables of Istio's control plane are not there to be read."""
    return [base_pb2.HeaderValue(key=item.name, value=item.value) for item in headers if item.value is not None]
