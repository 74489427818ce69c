"""MeshConfig, checked when the ConfigMap that carries it is written."""

from datetime import timedelta

from meshcore.model.mesh_config import DefaultTrafficPolicy, MeshConfig
from meshcore.model.sidecar import TlsProtocol
from meshcore.model.tls_words import ECDH_CURVES
from meshcore.model.virtual_service import HttpRetry
from meshcore.xds.command_operators import format_fault, operator_fault

from galley.core.rules.connection_pool import check_connection_pool, check_outlier_detection
from galley.core.rules.default_proxy_config import check_default_proxy_config
from galley.core.rules.extension_providers import check_extension_providers
from galley.core.rules.locality import check_locality, check_zone_aware
from galley.core.rules.names import check_wildcard_host, is_label
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_duration
from galley.core.rules.report import Report
from galley.core.rules.retries import check_retries

_MILLISECOND = timedelta(milliseconds=1)
_HOUR = timedelta(hours=1)


def check_mesh_config(report: Report, prefix: str, mesh: MeshConfig) -> None:
    """Ports, timeouts, trust domains, TLS, defaults; `prefix` goes before every field path."""
    check_port(report, f"{prefix}proxyListenPort", mesh.proxy_listen_port)
    check_port(report, f"{prefix}proxyInboundListenPort", mesh.proxy_inbound_listen_port)
    if mesh.proxy_http_port:
        check_port(report, f"{prefix}proxyHttpPort", mesh.proxy_http_port)
    _check_timeouts(report, prefix, mesh)
    _check_trust_domain(report, f"{prefix}trustDomain", mesh.trust_domain)
    for index, alias in enumerate(mesh.trust_domain_aliases):
        _check_trust_domain(report, f"{prefix}trustDomainAliases[{index}]", alias)
    _check_tls(report, prefix, mesh)
    check_locality(report, f"{prefix}localityLbSetting", mesh.locality_lb_setting)
    if mesh.zone_aware_lb_setting is not None:
        check_zone_aware(report, f"{prefix}zoneAwareLbSetting", mesh.zone_aware_lb_setting)
    for index, settings in enumerate(mesh.service_settings):
        for place, host in enumerate(settings.hosts):
            check_wildcard_host(report, f"{prefix}serviceSettings[{index}].hosts[{place}]", host)
    if mesh.default_http_retry_policy is not None:
        check_retries(report, f"{prefix}defaultHttpRetryPolicy", mesh.default_http_retry_policy)
    if mesh.default_inbound_http_retry_policy is not None:
        _check_inbound_retries(report, f"{prefix}defaultInboundHttpRetryPolicy", mesh.default_inbound_http_retry_policy)
    if mesh.default_traffic_policy is not None:
        _check_traffic_policy(report, f"{prefix}defaultTrafficPolicy", mesh.default_traffic_policy)
    if fault := format_fault(mesh.access_log_format) or operator_fault(mesh.access_log_format):
        report.error(
            f"{prefix}accessLogFormat", fault, "a format that Envoy takes: it refuses every listener otherwise"
        )
    check_default_proxy_config(report, f"{prefix}defaultConfig", mesh.default_config)
    _warn_of_providers(report, f"{prefix}extensionProviders", mesh)


def _check_timeouts(report: Report, prefix: str, mesh: MeshConfig) -> None:
    check_duration(report, f"{prefix}connectTimeout", mesh.connect_timeout)
    if mesh.connect_timeout > _HOUR:
        report.error(f"{prefix}connectTimeout", "longer than an hour", "1ms to 1h")
    if mesh.protocol_detection_timeout < timedelta() or mesh.protocol_detection_timeout % _MILLISECOND:
        report.error(f"{prefix}protocolDetectionTimeout", "not a whole number of milliseconds", "0s or more")


def _check_trust_domain(report: Report, path: str, trust_domain: str) -> None:
    labels = trust_domain.removesuffix(".").split(".")
    if not all(map(is_label, labels)):
        report.error(path, f"{trust_domain!r} is not a trust domain", "DNS labels with dots between them")


def _check_tls(report: Report, prefix: str, mesh: MeshConfig) -> None:
    for name, tls in (("meshMTLS", mesh.mesh_mtls), ("tlsDefaults", mesh.tls_defaults)):
        if tls.min_protocol_version in (TlsProtocol.TLSV1_0, TlsProtocol.TLSV1_1):
            where = f"{prefix}{name}.minProtocolVersion"
            report.error(where, f"unsupported value {tls.min_protocol_version.value!r}", "TLS_AUTO, TLSV1_2 or TLSV1_3")
    if mesh.mesh_mtls.ecdh_curves:
        report.error(f"{prefix}meshMTLS.ecdhCurves", "mTLS between workloads takes no curves", "tlsDefaults.ecdhCurves")
    seen: set[str] = set()
    for index, curve in enumerate(mesh.tls_defaults.ecdh_curves):
        where = f"{prefix}tlsDefaults.ecdhCurves[{index}]"
        if curve and curve not in ECDH_CURVES:
            report.warn(where, f"{curve!r} is not known and not used")
        elif curve in seen:
            report.warn(where, f"{curve!r} is there twice")
        seen.add(curve)


def _check_inbound_retries(report: Report, path: str, retries: HttpRetry) -> None:
    check_retries(report, path, retries)
    if retries.attempts == 0 and retries.backoff is not None:
        report.error(f"{path}.backoff", "set although attempts is 0", "attempts above 0")
    for name, value in (
        ("perTryTimeout", retries.per_try_timeout),
        ("retryRemoteLocalities", retries.retry_remote_localities),
        ("retryIgnorePreviousHosts", retries.retry_ignore_previous_hosts),
    ):
        if value is not None:
            report.warn(f"{path}.{name}", "ignored for inbound requests: there is one endpoint")


def _check_traffic_policy(report: Report, path: str, policy: DefaultTrafficPolicy) -> None:
    if policy.connection_pool is not None:
        check_connection_pool(report, f"{path}.connectionPool", policy.connection_pool)
    if policy.outlier_detection is not None:
        check_outlier_detection(report, f"{path}.outlierDetection", policy.outlier_detection)


def _warn_of_providers(report: Report, path: str, mesh: MeshConfig) -> None:
    found = Report()
    check_extension_providers(found, path, mesh.extension_providers)
    for violation in (*found.errors, *found.warnings):
        report.warn(violation.field, violation.message)
