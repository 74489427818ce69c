"""What a WasmPlugin applies to; its schema says the rest."""

from meshcore.model.traffic_extension import WasmPlugin

from galley.core.rules.policy_target import check_policy_target
from galley.core.rules.report import Report


def validate(plugin: WasmPlugin, report: Report) -> None:
    """Targets of the right kinds."""
    spec = plugin.spec
    check_policy_target(report, spec.selector, spec.target_ref, spec.target_refs)
