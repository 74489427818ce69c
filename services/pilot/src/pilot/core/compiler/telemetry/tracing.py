"""Tracing of HTTP connection managers: providers, sampling and tags from Telemetry and the mesh config. Pure."""

from dataclasses import dataclass, field
from typing import Any

from envoy.config.core.v3 import http_service_pb2, http_uri_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2, zipkin_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf import duration_pb2
from meshcore.model.extension_provider import ExtensionProvider, OpenTelemetryProvider, ZipkinProvider
from meshcore.model.telemetry import CustomTag

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import any_of, duration, uint32
from pilot.core.compiler.telemetry.providers import provider_cluster
from pilot.core.compiler.telemetry.scope import Scope, is_meant

DEFAULT_SAMPLING = 1.0
"""Per cent (Istio's PILOT_TRACE_SAMPLING)."""
_MAX_PATH_TAG = 256
_Tracing = http_connection_manager_pb2.HttpConnectionManager.Tracing


@dataclass
class Asked:
    """What holds on one side: lower levels lay single fields over those above."""

    providers: tuple[str, ...] = ()
    sampling: float | None = None
    reports: bool = True
    tags: dict[str, CustomTag] = field(default_factory=dict)


def asked_tracing(scope: Scope, side: Side) -> Asked | None:
    """None when nothing is traced."""
    mesh = scope.mesh
    asked = Asked(providers=tuple(mesh.default_providers.tracing) if mesh.enable_tracing else ())
    legacy = mesh.default_config.tracing
    if legacy is not None and legacy.sampling:
        asked.sampling = legacy.sampling
    for block in scope.tracing:
        if not is_meant(block.match, side):
            continue
        asked.providers = tuple(ref.name for ref in block.providers) or asked.providers
        if block.random_sampling_percentage is not None:
            asked.sampling = block.random_sampling_percentage
        if block.disable_span_reporting is not None:
            asked.reports = not block.disable_span_reporting
        if block.custom_tags:
            asked.tags = dict(block.custom_tags)
    return asked if asked.providers and asked.reports else None


def tracing(work: Compilation, scope: Scope, asked: Asked) -> tuple[Any, tuple[tuple[str, str], ...]]:
    """Envoy's `tracing` block (None without a provider that can be had), and what is missing."""
    name = asked.providers[0]
    provider = scope.provider(name)
    if provider is None:
        return None, ((name, "no extension provider of the mesh config has that name"),)
    config, tag_length, reason = _provider(work, provider)
    if config is None:
        return None, ((name, reason),)
    made = _Tracing(provider=config, max_path_tag_length=uint32(tag_length or _MAX_PATH_TAG))
    made.client_sampling.value = 100.0
    made.overall_sampling.value = 100.0
    made.random_sampling.value = DEFAULT_SAMPLING if asked.sampling is None else asked.sampling
    for tag in sorted(asked.tags):
        made.custom_tags.append(_tag(tag, asked.tags[tag]))
    return made, ()


def _provider(work: Compilation, provider: ExtensionProvider) -> tuple[Any, int, str]:
    settings = provider.zipkin or provider.opentelemetry
    if settings is None:
        return None, 0, "only zipkin and opentelemetry are traced to"
    cluster = provider_cluster(work, settings)
    if not cluster:
        return None, 0, f"the proxy sees no service {settings.service} with port {settings.port}"
    if isinstance(settings, ZipkinProvider):
        config: Any = _zipkin(settings, cluster)
        name = "envoy.tracers.zipkin"
    else:
        config = _opentelemetry(settings, cluster, _service_name(work))
        name = "envoy.tracers.opentelemetry"
    return http_tracer_pb2.Tracing.Http(name=name, typed_config=any_of(config)), settings.max_tag_length, ""


def _host(service: str) -> str:
    return service.rpartition("/")[2]


def _zipkin(settings: ZipkinProvider, cluster: str) -> zipkin_pb2.ZipkinConfig:
    made = zipkin_pb2.ZipkinConfig(
        collector_cluster=cluster,
        collector_endpoint=settings.path or "/api/v2/spans",
        collector_endpoint_version="HTTP_JSON",
        collector_hostname=_host(settings.service),
        trace_id_128bit=not settings.enable_64bit_trace_id,
    )
    made.shared_span_context.value = False
    return made


def _opentelemetry(
    settings: OpenTelemetryProvider, cluster: str, service_name: str
) -> opentelemetry_pb2.OpenTelemetryConfig:
    made = opentelemetry_pb2.OpenTelemetryConfig(service_name=service_name)
    if settings.http is not None:
        timeout = duration(settings.http.timeout) if settings.http.timeout else duration_pb2.Duration(seconds=3)
        uri = http_uri_pb2.HttpUri(
            uri=f"http://{_host(settings.service)}{settings.http.path}", cluster=cluster, timeout=timeout
        )
        made.http_service.CopyFrom(http_service_pb2.HttpService(http_uri=uri))
        for header in settings.http.headers:
            if header.value is not None:
                made.http_service.request_headers_to_add.add().header.CopyFrom(_header(header.name, header.value))
        return made
    made.grpc_service.envoy_grpc.cluster_name = cluster
    made.grpc_service.envoy_grpc.authority = _host(settings.service)
    if settings.grpc is not None:
        if settings.grpc.timeout:
            made.grpc_service.timeout.CopyFrom(duration(settings.grpc.timeout))
        for header in settings.grpc.initial_metadata:
            if header.value is not None:
                made.grpc_service.initial_metadata.append(_header(header.name, header.value))
    return made


def _header(name: str, value: str) -> Any:
    from envoy.config.core.v3 import base_pb2

    return base_pb2.HeaderValue(key=name, value=value)


def _service_name(work: Compilation) -> str:
    """Istio's `<app>.<namespace>`."""
    one = work.proxy_class
    return f"{one.label_map.get('app') or one.service_account or 'istio-proxy'}.{one.namespace}"


def _tag(name: str, tag: CustomTag) -> custom_tag_pb2.CustomTag:
    made = custom_tag_pb2.CustomTag(tag=name)
    if tag.environment is not None:
        made.environment.name = tag.environment.name
        made.environment.default_value = tag.environment.default_value
    elif tag.header is not None:
        made.request_header.name = tag.header.name
        made.request_header.default_value = tag.header.default_value
    elif tag.formatter is not None:
        made.value = tag.formatter.value
    else:
        made.literal.value = tag.literal.value if tag.literal is not None else "-"
    return made
