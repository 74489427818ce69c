"""Traffic policies: what is set for a whole service or for one of its ports."""

from meshcore.model.destination_rule import PortTrafficPolicy, TrafficPolicy, TunnelSettings

from galley.core.rules.client_tls import check_client_tls
from galley.core.rules.connection_pool import check_connection_pool, check_outlier_detection
from galley.core.rules.load_balancer import check_load_balancer
from galley.core.rules.names import domain_fault, is_ip
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def check_traffic_policy(report: Report, path: str, policy: TrafficPolicy, namespace: str) -> None:
    """A policy says something, and everything that it says is possible."""
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        report.error(path, "tunnel and proxyProtocol are both set", "one of them")
        return
    if not any(
        (
            policy.outlier_detection,
            policy.connection_pool,
            policy.load_balancer,
            policy.tls,
            policy.port_level_settings,
            policy.tunnel,
            policy.proxy_protocol,
            policy.retry_budget,
        )
    ):
        report.error(path, "the traffic policy says nothing", "at least one setting")
    _check_settings(report, path, policy, namespace)
    for index, port_policy in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{index}]"
        if port_policy.port is None:
            report.error(f"{where}.port", "required", "a port's number")
        _check_says_something(report, where, port_policy)
        _check_settings(report, where, port_policy, namespace)
    if policy.tunnel is not None:
        _check_tunnel(report, f"{path}.tunnel", policy.tunnel)
    budget = policy.retry_budget
    if budget is not None and budget.percent is not None and not 0 <= budget.percent <= 100:
        report.error(f"{path}.retryBudget.percent", f"{budget.percent:g} is not a percentage", "0 to 100")


def _check_says_something(report: Report, path: str, policy: PortTrafficPolicy) -> None:
    if not any((policy.outlier_detection, policy.connection_pool, policy.load_balancer, policy.tls)):
        report.error(path, "the settings of the port say nothing", "at least one setting")


def _check_settings(report: Report, path: str, policy: TrafficPolicy | PortTrafficPolicy, namespace: str) -> None:
    if policy.outlier_detection is not None:
        check_outlier_detection(report, f"{path}.outlierDetection", policy.outlier_detection)
    if policy.connection_pool is not None:
        check_connection_pool(report, f"{path}.connectionPool", policy.connection_pool)
    if policy.load_balancer is not None:
        has_outliers = policy.outlier_detection is not None
        check_load_balancer(report, f"{path}.loadBalancer", policy.load_balancer, has_outliers=has_outliers)
    if policy.tls is not None:
        check_client_tls(report, f"{path}.tls", policy.tls, namespace)


def _check_tunnel(report: Report, path: str, tunnel: TunnelSettings) -> None:
    if tunnel.protocol not in ("", "CONNECT", "POST"):
        report.error(f"{path}.protocol", f"unsupported value {tunnel.protocol!r}", "CONNECT or POST")
    if not is_ip(tunnel.target_host) and (fault := domain_fault(tunnel.target_host)):
        report.error(f"{path}.targetHost", fault, "a host name or an IP address")
    check_port(report, f"{path}.targetPort", tunnel.target_port)
