"""The part of Istio's ProxyConfig that the agent itself obeys, from the PROXY_CONFIG variable (YAML or JSON).

The whole document is kept as `raw`: it travels to Pilot in the node's metadata. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import yaml
from meshcore.durations import parse_duration
from meshcore.errors import ErrorCode, MeshError, Violation

from envoy_bootstrap.core.reporting_services import ReportingServices, parse_reporting_services
from envoy_bootstrap.core.stats_config import StatsInclusion

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Istio's defaults where nothing is said."""

    discovery_address: str = "istiod.istio-system.svc:15012"
    config_path: str = "./etc/istio/proxy"
    drain_duration: timedelta = timedelta(seconds=45)
    termination_drain_duration: timedelta = timedelta(seconds=5)
    concurrency: int | None = None
    status_port: int = 15020
    service_cluster: str = "istio-proxy"
    runtime_values: Mapping[str, str] = field(default_factory=dict)
    proxy_metadata: Mapping[str, str] = field(default_factory=dict)
    stats: StatsInclusion = field(default_factory=StatsInclusion)
    reporting: ReportingServices = field(default_factory=ReportingServices)
    connection_limit: int | None = None
    """Connections that all listeners together take."""
    custom_bootstrap: str = ""
    """File with a bootstrap of the operator's own."""
    readiness_probe: Mapping[str, Any] = field(default_factory=dict)
    """Istio's ReadinessProbe, as it was written."""
    raw: Mapping[str, Any] = field(default_factory=dict)


def parse_time_span(text: str) -> timedelta:
    """How long something lasts: a duration of Go that is not negative; INVALID for anything else."""
    try:
        span = parse_duration(text.strip())
    except ValueError:
        span = None
    if span is None or span < timedelta():
        raise MeshError(ErrorCode.INVALID, f"{text!r} is not a duration such as 45s or 1m30s")
    return span


def parse_proxy_config(text: str, host_ip: str = "") -> ProxyConfig:
    """Read PROXY_CONFIG; every violation at once, each field named `PROXY_CONFIG.<field>`.

    `$(HOST_IP)` in the address of a tracer and the like stands for `host_ip`.
    """
    try:
        document = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise MeshError(ErrorCode.INVALID, "PROXY_CONFIG is neither YAML nor JSON") from error
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, "PROXY_CONFIG is not a mapping")
    reader = _Reader(document)
    default = ProxyConfig()
    matcher = reader.mapping("proxyStatsMatcher")
    config = ProxyConfig(
        discovery_address=reader.text("discoveryAddress", default.discovery_address),
        config_path=reader.text("configPath", default.config_path),
        drain_duration=reader.duration("drainDuration", default.drain_duration),
        termination_drain_duration=reader.duration("terminationDrainDuration", default.termination_drain_duration),
        concurrency=None if document.get("concurrency") is None else reader.number("concurrency", 0),
        status_port=reader.number("statusPort", default.status_port),
        service_cluster=reader.text("serviceCluster", default.service_cluster),
        runtime_values={key: str(value) for key, value in reader.mapping("runtimeValues").items()},
        proxy_metadata={key: str(value) for key, value in reader.mapping("proxyMetadata").items()},
        stats=StatsInclusion(
            prefixes=_texts(matcher.get("inclusionPrefixes")),
            suffixes=_texts(matcher.get("inclusionSuffixes")),
            regexes=_texts(matcher.get("inclusionRegexps")),
            extra_tags=_texts(document.get("extraStatTags")),
            compressed=document.get("statsCompression") is not False,
        ),
        reporting=parse_reporting_services(document, host_ip),
        connection_limit=_connection_limit(reader.mapping("connectionSettings")),
        readiness_probe=reader.mapping("readinessProbe"),
        custom_bootstrap=reader.text("customConfigFile", "") or reader.text("proxyBootstrapTemplatePath", ""),
        raw=document,
    )
    if reader.violations:
        raise MeshError(ErrorCode.INVALID, "PROXY_CONFIG is not valid", reader.violations)
    return config


class _Reader:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.violations: list[Violation] = []

    def text(self, key: str, default: str) -> str:
        value = self._document.get(key, default)
        return value if isinstance(value, str) else self._wrong(key, "a text", default)

    def number(self, key: str, default: int) -> int:
        value = self._document.get(key, default)
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65536
        return value if fits else self._wrong(key, "a number from 0 to 65535", default)

    def duration(self, key: str, default: timedelta) -> timedelta:
        if key not in self._document:
            return default
        try:
            return parse_time_span(str(self._document[key]))
        except MeshError:
            return self._wrong(key, "a duration such as 45s", default)

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self._document.get(key, {})
        return value if isinstance(value, dict) else self._wrong(key, "a mapping", {})

    def _wrong(self, key: str, expected: str, default: _T) -> _T:
        self.violations.append(Violation(f"PROXY_CONFIG.{key}", "has the wrong type", expected))
        return default


def _connection_limit(settings: Mapping[str, Any]) -> int | None:
    limit = settings.get("globalDownstreamConnectionLimit")
    value = limit.get("value") if isinstance(limit, dict) else limit
    return value if isinstance(value, int) and value > 0 else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
