"""MeshConfig, checked when the ConfigMap that carries it is written."""

from datetime import timedelta

from meshcore.model.mesh_config import DefaultProxyConfig, MeshConfig

from galley.core.rules.locality import check_locality
from galley.core.rules.names import is_label
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_duration, check_whole_seconds
from galley.core.rules.report import Report
from galley.core.rules.retries import check_retries

_MILLISECOND = timedelta(milliseconds=1)
_HOUR = timedelta(hours=1)


def check_mesh_config(report: Report, prefix: str, mesh: MeshConfig) -> None:
    """Ports, timeouts, trust domains, defaults; `prefix` goes before every field path."""
    check_port(report, f"{prefix}proxyListenPort", mesh.proxy_listen_port)
    check_port(report, f"{prefix}proxyInboundListenPort", mesh.proxy_inbound_listen_port)
    if mesh.proxy_http_port:
        check_port(report, f"{prefix}proxyHttpPort", mesh.proxy_http_port)
    check_duration(report, f"{prefix}connectTimeout", mesh.connect_timeout)
    if mesh.connect_timeout > _HOUR:
        report.error(f"{prefix}connectTimeout", "longer than an hour", "1ms to 1h")
    if mesh.protocol_detection_timeout < timedelta() or mesh.protocol_detection_timeout % _MILLISECOND:
        report.error(f"{prefix}protocolDetectionTimeout", "not a whole number of milliseconds", "0s or more")
    _check_trust_domain(report, f"{prefix}trustDomain", mesh.trust_domain)
    for index, alias in enumerate(mesh.trust_domain_aliases):
        _check_trust_domain(report, f"{prefix}trustDomainAliases[{index}]", alias)
    check_locality(report, f"{prefix}localityLbSetting", mesh.locality_lb_setting)
    if mesh.default_http_retry_policy is not None:
        check_retries(report, f"{prefix}defaultHttpRetryPolicy", mesh.default_http_retry_policy)
    _check_default_config(report, f"{prefix}defaultConfig", mesh.default_config)


def _check_default_config(report: Report, path: str, config: DefaultProxyConfig) -> None:
    check_whole_seconds(report, f"{path}.drainDuration", config.drain_duration)
    check_duration(report, f"{path}.drainDuration", config.drain_duration)
    check_port(report, f"{path}.proxyAdminPort", config.proxy_admin_port)
    check_port(report, f"{path}.statusPort", config.status_port)
    host, _, port = config.discovery_address.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        report.error(f"{path}.discoveryAddress", f"{config.discovery_address!r} is not an address", "HOST:PORT")


def _check_trust_domain(report: Report, path: str, trust_domain: str) -> None:
    if not trust_domain or not all(is_label(part) for part in trust_domain.split(".")):
        report.error(path, f"{trust_domain!r} is not a trust domain", "DNS labels with dots between them")
