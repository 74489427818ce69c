"""The services that a proxy reports to by its ProxyConfig alone: tracer, metrics service, access log service, statsd.

Istio puts them into the bootstrap, so that they count before (and without) anything that Pilot says. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.durations import parse_duration
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.names import ACCESS_LOG_CLUSTER, SDS_CLUSTER

from envoy_bootstrap.core.addresses import HostPort, typed
from envoy_bootstrap.core.static_clusters import HTTP2, ROOT_SECRET, WORKLOAD_SECRET, sds_secret

_TRACERS = {"zipkin": "zipkin", "datadog": "datadog_agent"}
"""What stock Envoy has of Istio's tracers, and the clusters that they report to."""
_METRICS = "envoy_metrics_service"
_HOST_IP = "$(HOST_IP)"


@dataclass(frozen=True, slots=True)
class RemoteService:
    """Where it is; `tls` is Istio's ClientTLSSettings, `keepalive` its TcpKeepalive, both as they were written."""

    address: HostPort
    tls: Mapping[str, Any] = field(default_factory=dict)
    keepalive: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportingServices:
    """None where ProxyConfig says nothing. `tracer` is `zipkin` or `datadog`."""

    tracer: str = ""
    tracing: RemoteService | None = None
    metrics: RemoteService | None = None
    access_logs: RemoteService | None = None
    statsd: HostPort | None = None


def parse_reporting_services(document: Mapping[str, Any], host_ip: str) -> ReportingServices:
    """Read them from a ProxyConfig; INVALID for an address that is none. Other tracers are not in stock Envoy and are
    left out."""
    tracing = _mapping(document.get("tracing"))
    tracer = next((name for name in _TRACERS if _mapping(tracing.get(name)).get("address")), "")
    statsd = document.get("statsdUdpAddress")
    return ReportingServices(
        tracer=tracer,
        tracing=_service({**_mapping(tracing.get(tracer)), "tlsSettings": tracing.get("tlsSettings")}, host_ip),
        metrics=_service(_mapping(document.get("envoyMetricsService")), host_ip),
        access_logs=_service(_mapping(document.get("envoyAccessLogService")), host_ip),
        statsd=_address(statsd, host_ip) if statsd else None,
    )


def clusters(services: ReportingServices, lookup_family: str, files: str) -> list[dict[str, Any]]:
    """The clusters that lead to them; `files` is the cluster that certificate files come from."""
    made = []
    if services.tracing is not None:
        tracer = _cluster(_TRACERS[services.tracer], services.tracing, lookup_family, files)
        made.append(tracer | ({"dns_refresh_rate": "30s"} if services.tracer == "zipkin" else {}))
    for name, service in ((_METRICS, services.metrics), (ACCESS_LOG_CLUSTER, services.access_logs)):
        if service is not None:
            made.append(_cluster(name, service, lookup_family, files) | {"typed_extension_protocol_options": HTTP2})
    return made


def tracing(services: ReportingServices, service_name: str) -> dict[str, Any] | None:
    """The bootstrap's `tracing`: what a listener uses that names no tracer of its own."""
    if services.tracer == "zipkin":
        config = {
            "collector_cluster": "zipkin",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
            "trace_id_128bit": True,
            "shared_span_context": False,
        }
        return _tracer("zipkin", typed("envoy.config.trace.v3.ZipkinConfig", config))
    if services.tracer == "datadog":
        config = {"collector_cluster": "datadog_agent", "service_name": service_name}
        return _tracer("datadog", typed("envoy.config.trace.v3.DatadogConfig", config))
    return None


def stats_sinks(services: ReportingServices) -> list[dict[str, Any]]:
    """Where Envoy sends its statistics to, besides being asked for them."""
    sinks = []
    if services.metrics is not None:
        config = {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": _METRICS}}}
        sinks.append(_sink("metrics_service", typed("envoy.config.metrics.v3.MetricsServiceConfig", config)))
    if services.statsd is not None:
        address = {"address": {"socket_address": _socket(services.statsd)}}
        sinks.append(_sink("statsd", typed("envoy.config.metrics.v3.StatsdSink", address)))
    return sinks


def _tracer(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"http": {"name": f"envoy.tracers.{name}", "typed_config": config}}


def _sink(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.stat_sinks.{name}", "typed_config": config}


def _socket(address: HostPort) -> dict[str, Any]:
    return {"address": address.host, "port_value": address.port}


def _cluster(name: str, service: RemoteService, lookup_family: str, files: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"socket_address": _socket(service.address)}}}
    made: dict[str, Any] = {
        "name": name,
        "alt_stat_name": f"{name};",
        "type": "STRICT_DNS",
        "respect_dns_ttl": True,
        "dns_lookup_family": lookup_family,
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if (tls := _tls(service.tls, files, http2=name in (_METRICS, ACCESS_LOG_CLUSTER))) is not None:
        made["transport_socket"] = tls
    if (keepalive := _keepalive(service.keepalive)) is not None:
        made["upstream_connection_options"] = {"tcp_keepalive": keepalive}
    return made


def _tls(settings: Mapping[str, Any], files: str, *, http2: bool) -> dict[str, Any] | None:
    mode = settings.get("mode", "DISABLE")
    if mode == "DISABLE":
        return None
    own = mode == "ISTIO_MUTUAL"
    place = SDS_CLUSTER if own else files
    names = [{"exact": name} for name in settings.get("subjectAltNames") or ()]
    root = ROOT_SECRET if own else f"file-root:{settings.get('caCertificates') or 'system'}"
    common: dict[str, Any] = {"alpn_protocols": ["h2"]} if http2 else {}
    # A missing file must not keep Envoy from starting: these services are not what the proxy is for.
    common["combined_validation_context"] = {
        "default_validation_context": {"match_subject_alt_names": names} if names else {},
        "validation_context_sds_secret_config": sds_secret(root, waits=False, cluster=place),
    }
    if own or mode == "MUTUAL":
        pair = f"file-cert:{settings.get('clientCertificate', '')}~{settings.get('privateKey', '')}"
        name = WORKLOAD_SECRET if own else pair
        common["tls_certificate_sds_secret_configs"] = [sds_secret(name, waits=False, cluster=place)]
    context: dict[str, Any] = {"common_tls_context": common}
    if settings.get("sni"):
        context["sni"] = settings["sni"]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
    }


def _keepalive(settings: Mapping[str, Any]) -> dict[str, int] | None:
    """Envoy's counts and whole seconds."""
    made = {}
    for theirs, ours in (
        ("probes", "keepalive_probes"),
        ("time", "keepalive_time"),
        ("interval", "keepalive_interval"),
    ):
        if theirs in settings:
            made[ours] = _whole(theirs, settings[theirs])
    return made or None


def _whole(name: str, value: Any) -> int:
    text = str(value)
    try:
        return int(text) if text.isdigit() else int(parse_duration(text).total_seconds())
    except ValueError as error:
        raise MeshError(ErrorCode.INVALID, f"tcpKeepalive.{name}: {error}") from None


def _service(settings: Mapping[str, Any], host_ip: str) -> RemoteService | None:
    if not settings.get("address"):
        return None
    return RemoteService(
        _address(settings["address"], host_ip),
        _mapping(settings.get("tlsSettings")),
        _mapping(settings.get("tcpKeepalive")),
    )


def _address(text: Any, host_ip: str) -> HostPort:
    if not isinstance(text, str):
        raise MeshError(ErrorCode.INVALID, f"{text!r} is not an address of the form host:port")
    return HostPort.parse(text.replace(_HOST_IP, host_ip))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
