"""Istio's standard metrics with stock Envoy: counters and histograms of `envoy.access_loggers.stats`. Pure.

The agent takes Envoy's prefix off the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from meshcore.model.telemetry import Metric, ModeMatch, TagOperation
from meshcore.xds.stats_scope import with_stats_scope

from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.telemetry.metric_labels import Reporter
from pilot.core.compiler.telemetry.peer_words import expression_with_peers
from pilot.core.compiler.telemetry.scope import PROMETHEUS, Scope, is_meant

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
        elif name:  # Envoy refuses every listener for a tag without one
            after[name] = f"%CEL({expression_with_peers(expression)})%"
    return after
