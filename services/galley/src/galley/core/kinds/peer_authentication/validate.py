"""Selector and port levels of a PeerAuthentication."""

from meshcore.model.peer_authentication import PeerAuthentication

from galley.core.rules.label_maps import check_selector
from galley.core.rules.report import Report


def validate(policy: PeerAuthentication, report: Report) -> None:
    """Modes by port need a selector; an empty map of them says nothing."""
    spec = policy.spec
    if spec.selector is not None:
        check_selector(report, "spec.selector.matchLabels", spec.selector.match_labels)
    if "port_level_mtls" not in spec.model_fields_set:
        return
    if not spec.port_level_mtls:
        report.error("spec.portLevelMtls", "no port", "at least one port, or no portLevelMtls")
    if spec.selector is None or not spec.selector.match_labels:
        report.error("spec.portLevelMtls", "modes by port without a selector", "a selector with labels")
    for port in spec.port_level_mtls:
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            report.error(f"spec.portLevelMtls[{port}]", f"{port!r} is not a port number", "1 to 65535")
