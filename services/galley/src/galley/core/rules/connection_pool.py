"""Limits towards an upstream, and when one of its endpoints is ejected."""

from datetime import timedelta

from meshcore.model.destination_rule import (
    ConnectionPoolSettings,
    H2UpgradePolicy,
    HttpSettings,
    OutlierDetection,
    TcpSettings,
)

from galley.core.rules.quantities import check_duration, check_percent
from galley.core.rules.report import Report

_MILLISECOND = timedelta(milliseconds=1)


def check_outlier_detection(report: Report, path: str, outlier: OutlierDetection) -> None:
    """Durations, percentages, and local origin failures only where they are told apart."""
    check_duration(report, f"{path}.interval", outlier.interval)
    check_duration(report, f"{path}.baseEjectionTime", outlier.base_ejection_time)
    check_percent(report, f"{path}.maxEjectionPercent", outlier.max_ejection_percent)
    check_percent(report, f"{path}.minHealthPercent", outlier.min_health_percent)
    if (outlier.consecutive_local_origin_failures or 0) > 0 and not outlier.split_external_local_origin_errors:
        report.error(
            f"{path}.consecutiveLocalOriginFailures",
            "local origin failures are not told apart",
            "splitExternalLocalOriginErrors: true",
        )
    if outlier.consecutive_errors:
        report.warn(f"{path}.consecutiveErrors", "deprecated: use consecutive5xxErrors or consecutiveGatewayErrors")


def check_connection_pool(report: Report, path: str, pool: ConnectionPoolSettings) -> None:
    """Limits are not negative, durations are real ones."""
    if pool.http is None and pool.tcp is None:
        report.error(path, "the connection pool says nothing", "http or tcp")
    if pool.http is not None:
        _check_http(report, f"{path}.http", pool.http)
    if pool.tcp is not None:
        _check_tcp(report, f"{path}.tcp", pool.tcp)


def _check_http(report: Report, path: str, http: HttpSettings) -> None:
    for name, limit in (
        ("http1MaxPendingRequests", http.http1_max_pending_requests),
        ("http2MaxRequests", http.http2_max_requests),
        ("maxRequestsPerConnection", http.max_requests_per_connection),
        ("maxRetries", http.max_retries),
        ("maxConcurrentStreams", http.max_concurrent_streams),
    ):
        _check_limit(report, f"{path}.{name}", limit)
    check_duration(report, f"{path}.idleTimeout", http.idle_timeout)
    if http.h2_upgrade_policy is H2UpgradePolicy.UPGRADE and http.use_client_protocol:
        report.error(f"{path}.useClientProtocol", "contradicts h2UpgradePolicy UPGRADE", "one of them")
    if http.http2_keep_alive is not None:
        for name, duration in (
            ("interval", http.http2_keep_alive.interval),
            ("timeout", http.http2_keep_alive.timeout),
        ):
            where = f"{path}.http2KeepAlive.{name}"
            if duration is None:
                report.error(where, "required", "a duration")
            check_duration(report, where, duration)


def _check_tcp(report: Report, path: str, tcp: TcpSettings) -> None:
    _check_limit(report, f"{path}.maxConnections", tcp.max_connections)
    check_duration(report, f"{path}.connectTimeout", tcp.connect_timeout)
    check_duration(report, f"{path}.maxConnectionDuration", tcp.max_connection_duration)
    if tcp.idle_timeout is not None and abs(tcp.idle_timeout) >= _MILLISECOND:  # what is shorter means none
        check_duration(report, f"{path}.idleTimeout", tcp.idle_timeout)
    if tcp.tcp_keepalive is not None:
        check_duration(report, f"{path}.tcpKeepalive.time", tcp.tcp_keepalive.time)
        check_duration(report, f"{path}.tcpKeepalive.interval", tcp.tcp_keepalive.interval)


def _check_limit(report: Report, path: str, limit: int) -> None:
    if limit < 0:
        report.error(path, f"{limit} is negative", "0 or more")
