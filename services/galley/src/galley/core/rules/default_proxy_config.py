"""How proxies are started: the mesh config's `defaultConfig`."""

from datetime import timedelta

from meshcore.model.default_proxy_config import (
    AuthenticationPolicy,
    DefaultProxyConfig,
    PrivateKeyProvider,
    ProxyTracing,
)

from galley.core.rules.addresses import check_proxy_address
from galley.core.rules.client_tls import check_client_tls
from galley.core.rules.connection_settings import check_connection_settings
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_duration, check_whole_seconds
from galley.core.rules.report import Report

_DNS_AUTO_ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"


def check_default_proxy_config(report: Report, path: str, config: DefaultProxyConfig) -> None:
    """Paths, names, addresses and ports that a proxy cannot start without, and what else it is told."""
    for name, value in (("configPath", config.config_path), ("binaryPath", config.binary_path)):
        if not value:
            report.error(f"{path}.{name}", "required", "a path")
    if config.service_cluster == "":
        report.error(f"{path}.serviceCluster", "the name is empty", "a name, or tracingServiceName")
    check_duration(report, f"{path}.drainDuration", config.drain_duration)
    check_whole_seconds(report, f"{path}.drainDuration", config.drain_duration)
    check_proxy_address(report, f"{path}.discoveryAddress", config.discovery_address)
    check_port(report, f"{path}.proxyAdminPort", config.proxy_admin_port)
    check_port(report, f"{path}.statusPort", config.status_port)
    if config.control_plane_auth_policy is AuthenticationPolicy.INHERIT:
        report.error(f"{path}.controlPlaneAuthPolicy", "there is nothing to inherit from", "NONE or MUTUAL_TLS")
    if config.tracing is not None:
        _check_tracing(report, f"{path}.tracing", config.tracing)
    _check_telemetry_addresses(report, path, config)
    if config.private_key_provider is not None:
        _check_key_provider(report, f"{path}.privateKeyProvider", config.private_key_provider)
    if config.connection_settings is not None:
        check_connection_settings(report, f"{path}.connectionSettings", config.connection_settings)
    if _DNS_AUTO_ALLOCATE in config.proxy_metadata:
        where = f"{path}.proxyMetadata[{_DNS_AUTO_ALLOCATE}]"
        report.warn(where, "deprecated: addresses of ServiceEntries are allocated by the control plane")


def _check_tracing(report: Report, path: str, tracing: ProxyTracing) -> None:
    for name in ("zipkin", "lightstep", "datadog"):
        tracer = getattr(tracing, name)
        if tracer is not None:
            check_proxy_address(report, f"{path}.{name}.address", tracer.address, host_ip=True)
    if tracing.lightstep is not None and not tracing.lightstep.access_token:
        report.error(f"{path}.lightstep.accessToken", "required", "a token")
    if tracing.tls_settings is not None:
        check_client_tls(report, f"{path}.tlsSettings", tracing.tls_settings, "")


def _check_telemetry_addresses(report: Report, path: str, config: DefaultProxyConfig) -> None:
    services = (
        ("envoyMetricsService", config.envoy_metrics_service),
        ("envoyAccessLogService", config.envoy_access_log_service),
    )
    for name, address in (
        ("statsdUdpAddress", config.statsd_udp_address),
        ("envoyMetricsServiceAddress", config.envoy_metrics_service_address),
        *((f"{name}.address", service.address) for name, service in services if service is not None),
    ):
        if address:
            check_proxy_address(report, f"{path}.{name}", address)


def _check_key_provider(report: Report, path: str, provider: PrivateKeyProvider) -> None:
    named = {"cryptomb": provider.cryptomb, "qat": provider.qat}
    if not any(named.values()):
        report.error(path, "no provider", "cryptomb or qat")
    for name, settings in named.items():
        if settings is not None and (settings.poll_delay is None or settings.poll_delay <= timedelta()):
            report.error(f"{path}.{name}.pollDelay", "required", "a duration above 0s")
