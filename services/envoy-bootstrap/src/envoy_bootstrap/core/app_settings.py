"""What the environment says of the application beside the agent: its probes and its pages of metrics. Pure."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.health_probe import parse_probe
from envoy_bootstrap.core.probes import Application, AppProbes, ReadinessProbe, parse_app_probes, parse_readiness_probe

_METRICS_PATH = "/metrics"


def parse_probers(text: str, host: str) -> AppProbes:
    """ISTIO_KUBE_APP_PROBERS; INVALID with a violation for each path that is wrong."""
    try:
        return parse_app_probes(json.loads(text), host)
    except (ValueError, RecursionError):
        raise MeshError(ErrorCode.INVALID, "is not JSON") from None


def parse_metrics(text: str, host: str) -> tuple[tuple[str, int, str], ...]:
    """ISTIO_PROMETHEUS_ANNOTATIONS: nothing unless `scrape` is `true`; all of `targets`, else `port` and `path`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, "is not a JSON object")
    if str(document.get("scrape", "")).lower() != "true":
        return ()
    return tuple((host, *_target(item)) for item in document.get("targets") or [document])


def parse_metrics_url(text: str) -> tuple[tuple[str, int, str], ...]:
    """MESHCORE_APP_METRICS."""
    parts = urlsplit(text)
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise MeshError(ErrorCode.INVALID, f"{text!r} is no address such as http://127.0.0.1:9080/metrics")
    return ((parts.hostname, port, parts.path or _METRICS_PATH),)


def application(
    environment: Mapping[str, str],
    parsed: Callable[[str, Callable[[str], Any], Any], Any],
    proxy_probe: Mapping[str, Any],
    instance_ip: str,
) -> Application:
    """`parsed` reads one variable, with what to take where it is not set. `proxy_probe` is ProxyConfig's."""
    host = environment.get("ISTIO_META_MESHCORE_APP_ADDRESS") or instance_ip
    legacy = environment.get("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", "").lower() == "true"
    local = environment.get("ISTIO_META_MESHCORE_APP_ADDRESS") or ("::1" if ":" in instance_ip else "127.0.0.1")
    given: ReadinessProbe | None = parse_readiness_probe(proxy_probe, host) if proxy_probe else None
    return Application(
        probes=parsed("ISTIO_KUBE_APP_PROBERS", lambda text: parse_probers(text, local if legacy else host), {}),
        readiness=parsed("MESHCORE_APP_PROBE", lambda text: parse_probe(text, host), given),
        metrics=(
            *parsed("ISTIO_PROMETHEUS_ANNOTATIONS", lambda text: parse_metrics(text, local), ()),
            *parsed("MESHCORE_APP_METRICS", parse_metrics_url, ()),
        ),
    )


def _target(item: Any) -> tuple[int, str]:
    port = str(item.get("port") or "80") if isinstance(item, dict) else ""
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise MeshError(ErrorCode.INVALID, f"{port!r} is not a port")
    path = str(item.get("path") or _METRICS_PATH)
    return int(port), path if path.startswith("/") else f"/{path}"
