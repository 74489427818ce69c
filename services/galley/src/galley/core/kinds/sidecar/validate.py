"""The rules of a Sidecar as a whole."""

from meshcore.model.sidecar import OutboundMode, OutboundTrafficPolicy, Sidecar

from galley.core.kinds.sidecar.egress import check_egress
from galley.core.kinds.sidecar.ingress import check_ingress
from galley.core.rules.connection_pool import check_connection_pool
from galley.core.rules.destination import check_destination
from galley.core.rules.label_maps import check_selector
from galley.core.rules.names import check_fqdn
from galley.core.rules.report import Report


def validate(sidecar: Sidecar, report: Report) -> None:
    """All rules; a wrong selector or an empty Sidecar is reported alone, as in Istio."""
    spec = sidecar.spec
    if spec.workload_selector is not None and not check_selector(
        report, "spec.workloadSelector.labels", spec.workload_selector.labels
    ):
        return
    if not any((spec.egress, spec.ingress, spec.outbound_traffic_policy, spec.inbound_connection_pool)):
        report.error(
            "spec", "the Sidecar says nothing", "egress, ingress, outboundTrafficPolicy or inboundConnectionPool"
        )
        return
    check_ingress(report, spec.ingress)
    check_egress(report, spec.egress, sidecar.metadata.namespace)
    if spec.inbound_connection_pool is not None:
        check_connection_pool(report, "spec.inboundConnectionPool", spec.inbound_connection_pool)
    if spec.outbound_traffic_policy is not None:
        _check_outbound(report, "spec.outboundTrafficPolicy", spec.outbound_traffic_policy)


def _check_outbound(report: Report, path: str, policy: OutboundTrafficPolicy) -> None:
    proxy = policy.egress_proxy
    if proxy is None:
        return
    where = f"{path}.egressProxy"
    if policy.mode is not OutboundMode.ALLOW_ANY:
        report.error(where, f"an egress proxy with mode {policy.mode.value}", "mode ALLOW_ANY")
    if proxy.port is None:
        report.error(f"{where}.port", "required", "a port's number")
    check_fqdn(report, f"{where}.host", proxy.host)
    check_destination(report, where, proxy)
