"""Access logs as Telemetry and the mesh config's default providers ask for them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.access_loggers.open_telemetry.v3 import logs_service_pb2
from meshcore.model.extension_provider import (
    ExtensionProvider,
    FileLogProvider,
    HttpGrpcLogProvider,
    OtelLogProvider,
    TcpGrpcLogProvider,
)
from meshcore.xds.names import ACCESS_LOG_CLUSTER

from pilot.core.compiler.access_log import DEFAULT_FORMAT, access_logs, file_log, json_fields
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import any_of, struct
from pilot.core.compiler.telemetry.peer_words import (
    document_with_peers,
    expression_with_peers,
    format_with_peers,
)
from pilot.core.compiler.telemetry.providers import provider_cluster, refused_part
from pilot.core.compiler.telemetry.scope import ENVOY, Scope, is_meant

_CEL = "envoy.access_loggers.extension_filters.cel"


class Asked(NamedTuple):
    """One provider and the expression that entries must fulfil."""

    provider: str
    expression: str


class Logs(NamedTuple):
    """Loggers of one connection manager or TCP proxy, and providers that cannot be had with the reason."""

    loggers: tuple[accesslog_pb2.AccessLog, ...]
    missing: tuple[tuple[str, str], ...] = ()


def asked_logs(scope: Scope, side: Side) -> tuple[Asked, ...] | None:
    """The providers in force on a side, by name; None when the mesh config's file log holds."""
    default = scope.mesh.default_providers.access_logging
    levels = scope.logging
    if not levels:
        return tuple(Asked(name, "") for name in sorted(set(default))) if default else None
    chosen: Sequence[str] = default
    for level in levels:
        named = [ref.name for block in level if is_meant(block.match, side) for ref in block.providers]
        chosen = named or chosen
    found: dict[str, str] = {}
    parents: Sequence[str] = default
    for block in (block for level in levels for block in level):
        names = [ref.name for ref in block.providers] or parents
        parents = names
        for name in names if is_meant(block.match, side) else ():
            if name not in chosen:
                continue
            if block.disabled:
                found.pop(name, None)
            else:
                found[name] = block.filter.expression if block.filter is not None else ""
    return tuple(Asked(name, found[name]) for name in sorted(found))


def loggers(work: Compilation, scope: Scope, asked: tuple[Asked, ...], *, http: bool) -> Logs:
    """Envoy's loggers for a connection manager (`http`) or a TCP proxy."""
    made: list[accesslog_pb2.AccessLog] = []
    missing: list[tuple[str, str]] = []
    for name, expression in asked:
        provider = scope.provider(name)
        if provider is None:
            missing.append((name, "no extension provider of the mesh config has that name"))
            continue
        logger, reason = _logger(work, provider, http=http)
        if reason:
            missing.append((name, reason))
        if logger is not None:
            if expression:
                logger.filter.extension_filter.name = _CEL
                logger.filter.extension_filter.typed_config.CopyFrom(
                    any_of(cel_pb2.ExpressionFilter(expression=expression_with_peers(expression)))
                )
            made.append(logger)
    return Logs(tuple(made), tuple(missing))


def listener_loggers(
    work: Compilation, scope: Scope, asked: tuple[Asked, ...] | None
) -> tuple[accesslog_pb2.AccessLog, ...]:
    """For connections that no filter chain takes: nobody else tells of them. `asked` is None where the mesh config's
    file log holds."""
    if asked is None:
        return tuple(map(_of_no_chain, (*access_logs(work.mesh), *service_loggers(work, "listener"))))
    return tuple(map(_of_no_chain, loggers(work, scope, asked, http=False).loggers))


def service_loggers(work: Compilation, kind: str) -> Iterator[accesslog_pb2.AccessLog]:
    """The access log service of MeshConfig's switch and the proxy's own ProxyConfig; `kind` is http, tcp or
    listener."""
    if work.mesh.enable_envoy_access_log_service and work.proxy_class.logs_to_service:
        service = HttpGrpcLogProvider(log_name=f"{kind}_envoy_accesslog")
        yield (_http_als if kind == "http" else _tcp_als)(service, ACCESS_LOG_CLUSTER)


def _of_no_chain(logger: accesslog_pb2.AccessLog) -> accesslog_pb2.AccessLog:
    found = accesslog_pb2.AccessLog()
    found.CopyFrom(logger)
    flagged = accesslog_pb2.AccessLogFilter()
    flagged.response_flag_filter.flags.append("NR")
    if logger.HasField("filter"):
        found.filter.Clear()
        found.filter.and_filter.filters.extend([flagged, logger.filter])
    else:
        found.filter.CopyFrom(flagged)
    return found


def _logger(
    work: Compilation, provider: ExtensionProvider, *, http: bool
) -> tuple[accesslog_pb2.AccessLog | None, str]:
    if fault := refused_part(work, provider):
        return None, fault
    if provider.envoy_file_access_log is not None:
        return _file(provider.envoy_file_access_log), ""
    if provider.name == ENVOY:
        return file_log(work.mesh, work.mesh.access_log_file or "/dev/stdout"), ""
    service = provider.envoy_http_als or provider.envoy_tcp_als or provider.envoy_otel_als
    if service is None:
        return None, "it is no provider of access logs"
    cluster = provider_cluster(work, service)
    if not cluster:
        return None, f"the proxy sees no service {service.service} with port {service.port}"
    if provider.envoy_otel_als is not None:
        return _otel(provider.envoy_otel_als, cluster), ""
    if provider.envoy_http_als is not None:
        return (_http_als(provider.envoy_http_als, cluster) if http else None), ""
    return _tcp_als(service, cluster) if provider.envoy_tcp_als is not None else None, ""


def _file(settings: FileLogProvider) -> accesslog_pb2.AccessLog:
    form = settings.log_format
    made = substitution_format_string_pb2.SubstitutionFormatString(omit_empty_values=settings.omit_empty_values)
    if form is not None and form.labels is not None:
        made.json_format.CopyFrom(struct(document_with_peers(form.labels or json_fields())))
    else:
        text = format_with_peers(form.text if form is not None and form.text else DEFAULT_FORMAT)
        made.text_format_source.inline_string = text if text.endswith("\n") else f"{text}\n"
    config = file_pb2.FileAccessLog(path=settings.path or "/dev/stdout", log_format=made)
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=any_of(config))


def _common(settings: TcpGrpcLogProvider, cluster: str, default: str) -> als_pb2.CommonGrpcAccessLogConfig:
    common = als_pb2.CommonGrpcAccessLogConfig(
        log_name=settings.log_name or default,
        transport_api_version="V3",
        filter_state_objects_to_log=settings.filter_state_objects_to_log,
    )
    common.grpc_service.envoy_grpc.cluster_name = cluster
    return common


def _http_als(settings: HttpGrpcLogProvider, cluster: str) -> accesslog_pb2.AccessLog:
    config = als_pb2.HttpGrpcAccessLogConfig(
        common_config=_common(settings, cluster, "http_envoy_accesslog"),
        additional_request_headers_to_log=settings.additional_request_headers_to_log,
        additional_response_headers_to_log=settings.additional_response_headers_to_log,
        additional_response_trailers_to_log=settings.additional_response_trailers_to_log,
    )
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.http_grpc", typed_config=any_of(config))


def _tcp_als(settings: Any, cluster: str) -> accesslog_pb2.AccessLog:
    config = als_pb2.TcpGrpcAccessLogConfig(common_config=_common(settings, cluster, "tcp_envoy_accesslog"))
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.tcp_grpc", typed_config=any_of(config))


def _otel(settings: OtelLogProvider, cluster: str) -> accesslog_pb2.AccessLog:
    form = settings.log_format
    config = logs_service_pb2.OpenTelemetryAccessLogConfig(
        common_config=als_pb2.CommonGrpcAccessLogConfig(
            log_name=settings.log_name or "otel_envoy_accesslog", transport_api_version="V3"
        ),
        disable_builtin_labels=True,
    )
    config.common_config.grpc_service.envoy_grpc.cluster_name = cluster
    text = form.text if form is not None and form.text else DEFAULT_FORMAT
    config.body.string_value = format_with_peers(text).rstrip("\n")
    labels: Mapping[str, Any] = document_with_peers((form.labels or {}) if form is not None else {})
    for key in sorted(labels):
        config.attributes.values.add(key=key).value.string_value = str(labels[key])
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.open_telemetry", typed_config=any_of(config))
