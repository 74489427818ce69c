"""Istio's standard metrics with stock Envoy: counters and histograms of `envoy.access_loggers.stats`. Pure.

What a proxy knows of itself is literal; of its peer it knows the identity that the certificate proves (namespace and
service account) and, as a client, the service that it calls. The agent takes Envoy's prefix off the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from meshcore.model.telemetry import Metric, ModeMatch, TagOperation
from meshcore.xds.stats_scope import with_stats_scope

from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import ISTIO_METADATA, any_of
from pilot.core.compiler.telemetry.scope import PROMETHEUS, Scope, is_meant
from pilot.core.proxy import ProxyClass
from pilot.core.selection import CANONICAL_NAME, CANONICAL_REVISION, WORKLOAD_NAME

_UNKNOWN = "unknown"
_URI = "spiffe://[^/]*/ns/([^/]*)/sa/(.*)"
_CLUSTER = "outbound[|]([0-9]*)[|]([^|]*)[|](.*)"
_HTTP = {
    Metric.REQUEST_COUNT: ("istio_requests_total", ""),
    Metric.REQUEST_DURATION: ("istio_request_duration_milliseconds", "%DURATION%"),
    Metric.REQUEST_SIZE: ("istio_request_bytes", "%BYTES_RECEIVED%"),
    Metric.RESPONSE_SIZE: ("istio_response_bytes", "%BYTES_SENT%"),
}
_TCP = {
    Metric.TCP_OPENED_CONNECTIONS: ("istio_tcp_connections_opened_total", ""),
    Metric.TCP_CLOSED_CONNECTIONS: ("istio_tcp_connections_closed_total", ""),
    Metric.TCP_SENT_BYTES: ("istio_tcp_sent_bytes_total", "%BYTES_SENT%"),
    Metric.TCP_RECEIVED_BYTES: ("istio_tcp_received_bytes_total", "%BYTES_RECEIVED%"),
}
_UNITS = {
    Metric.REQUEST_DURATION: stats_pb2.Config.Histogram.Unit.Milliseconds,
    Metric.REQUEST_SIZE: stats_pb2.Config.Histogram.Unit.Bytes,
    Metric.RESPONSE_SIZE: stats_pb2.Config.Histogram.Unit.Bytes,
}


@dataclass
class Asked:
    """Metrics that are off on a side, and tags that differ: by metric, an expression or None for no tag."""

    off: set[Metric] = field(default_factory=set)
    tags: dict[Metric, dict[str, str | None]] = field(default_factory=dict)


def asked_metrics(scope: Scope, side: Side) -> Asked | None:
    """None when Prometheus is no provider of metrics here."""
    providers = set(scope.mesh.default_providers.metrics)
    asked = Asked()
    for block in scope.metrics:
        if block.providers:
            providers = {ref.name for ref in block.providers}
        for override in block.overrides:
            match = override.match
            if match is not None and not is_meant(ModeMatch(mode=match.mode), side):
                continue
            metric = match.metric if match is not None else None
            if match is not None and match.custom_metric is not None:
                continue
            chosen = [metric] if metric not in (None, Metric.ALL_METRICS) else [*_HTTP, *_TCP]
            for one in (item for item in chosen if item is not None):
                if override.disabled is not None:
                    (asked.off.add if override.disabled else asked.off.discard)(one)
                for name, change in override.tag_overrides.items():
                    gone = change.operation is TagOperation.REMOVE
                    asked.tags.setdefault(one, {})[name] = None if gone else change.value
    return asked if any(_is_prometheus(scope, name) for name in providers) else None


def _is_prometheus(scope: Scope, name: str) -> bool:
    provider = scope.provider(name)
    return name == PROMETHEUS or (provider is not None and provider.prometheus is not None)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: the workload, its side, and on the server's the service that is reached."""

    one: ProxyClass
    side: Side
    service: tuple[str, str, str]
    """Host, name and namespace; empty where the chain serves none."""

    @classmethod
    def of(cls, one: ProxyClass, side: Side, chain: Any) -> "Reporter":
        """From the metadata of the chain."""
        metadata = chain.metadata.filter_metadata
        known = ISTIO_METADATA in metadata and "services" in metadata[ISTIO_METADATA]
        # the list is empty at a port that only a Sidecar's ingress names
        if side is Side.SERVER and known and len(metadata[ISTIO_METADATA]["services"]):
            first = metadata[ISTIO_METADATA]["services"][0]
            return cls(one, side, (first["host"], first["name"], first["namespace"]))
        return cls(one, side, ("", "", ""))

    def tags(self, *, http: bool) -> dict[str, str]:
        """Istio's labels, as literals and Envoy's operators."""
        server = self.side is Side.SERVER
        own, peer = ("destination", "source") if server else ("source", "destination")
        san = "DOWNSTREAM_PEER_URI_SAN" if server else "UPSTREAM_PEER_URI_SAN"
        identity = "connection.uri_san_peer_certificate" if server else "upstream.uri_san_peer_certificate"
        labels = self.one.label_map
        name = labels.get(CANONICAL_NAME) or labels.get("app") or dict(self.one.metadata).get(WORKLOAD_NAME) or _UNKNOWN
        host, short, namespace = self.service if server else _called()
        found = {
            "reporter": "destination" if server else "source",
            f"{own}_workload": dict(self.one.metadata).get(WORKLOAD_NAME) or name,
            f"{own}_workload_namespace": self.one.namespace,
            f"{own}_principal": "%DOWNSTREAM_LOCAL_URI_SAN%" if server else "%UPSTREAM_LOCAL_URI_SAN%",
            f"{own}_app": labels.get("app") or _UNKNOWN,
            f"{own}_version": labels.get("version") or _UNKNOWN,
            f"{own}_canonical_service": name,
            f"{own}_canonical_revision": labels.get(CANONICAL_REVISION) or labels.get("version") or "latest",
            f"{own}_cluster": self.one.cluster or _UNKNOWN,
            f"{peer}_principal": f"%{san}%",
            f"{peer}_workload_namespace": _extracted(identity, _URI, 1),
            f"{peer}_workload": _UNKNOWN,
            f"{peer}_app": _UNKNOWN,
            f"{peer}_version": _UNKNOWN,
            f"{peer}_canonical_service": _UNKNOWN,
            f"{peer}_canonical_revision": "latest",
            f"{peer}_cluster": _UNKNOWN,
            "destination_service": host or _UNKNOWN,
            "destination_service_name": short or _UNKNOWN,
            "destination_service_namespace": namespace or _UNKNOWN,
            "request_protocol": _PROTOCOL if http else "tcp",
            "response_flags": "%RESPONSE_FLAGS%",
            "connection_security_policy": "%CEL(connection.mtls ? 'mutual_tls' : 'none')%" if server else _UNKNOWN,
        }
        if http:
            found["response_code"] = "%RESPONSE_CODE%"
            found["grpc_response_status"] = "%GRPC_STATUS_NUMBER%"
        return found


_PROTOCOL = (
    "%CEL('content-type' in request.headers && request.headers['content-type'].startsWith('application/grpc')"
    " ? 'grpc' : 'http')%"
)


def _called() -> tuple[str, str, str]:
    """The service behind the cluster that was chosen."""
    name = "xds.cluster_name"
    return (
        _extracted(name, _CLUSTER, 3),
        _extracted(name, "outbound[|][0-9]*[|][^|]*[|]([^.]*).*", 1),
        _extracted(name, "outbound[|][0-9]*[|][^|]*[|][^.]*[.]([^.]*)[.]svc[.].*", 1),
    )


def _extracted(attribute: str, pattern: str, group: int) -> str:
    return f"%CEL(re.extract({attribute}, '{pattern}', '\\\\{group}'))%"


def metric_loggers(reporter: Reporter, asked: Asked, *, http: bool) -> list[accesslog_pb2.AccessLog]:
    """The logger that counts; none when every metric is off."""
    config = stats_pb2.Config()
    tags = reporter.tags(http=http)
    for metric, (name, value) in (_HTTP if http else _TCP).items():
        if metric in asked.off:
            continue
        changed = _changed(tags, asked.tags.get(metric, {}))
        if metric in _UNITS:
            made = config.histograms.add(unit=_UNITS[metric], value_format=value)
        else:
            made = config.counters.add()
            if value:
                made.value_format = value
            else:
                made.value_fixed.value = 1
        made.stat.name = name
        for key in sorted(changed):
            made.stat.tags.add(name=key, value_format=changed[key])
    if not config.counters and not config.histograms:
        return []
    packed = with_stats_scope(any_of(config))
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.stats", typed_config=packed)]


def _changed(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    after = {**tags}
    for name, expression in changes.items():
        if expression is None:
            after.pop(name, None)
        else:
            after[name] = f"%CEL({expression})%"
    return after
