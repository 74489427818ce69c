"""What a TrafficExtension applies to, and how long its script is; its schema says the rest."""

from meshcore.model.traffic_extension import TrafficExtension
from meshcore.xds.lua import script_fault

from galley.core.rules.policy_target import check_policy_target
from galley.core.rules.report import Report

_LONGEST_SCRIPT = 65536


def validate(extension: TrafficExtension, report: Report) -> None:
    """Targets of the right kinds; the schema counts the script's characters, the limit is in bytes."""
    spec = extension.spec
    check_policy_target(report, spec.selector, None, spec.target_refs)
    if spec.lua is not None and (fault := script_fault(spec.lua.inline_code)):
        report.warn("spec.lua.inlineCode", f"the script is no Lua, so it is not sent to proxies: {fault}")
    if spec.lua is not None and len(spec.lua.inline_code.encode(errors="replace")) > _LONGEST_SCRIPT:
        report.error("spec.lua.inlineCode", "the script is too long", f"at most {_LONGEST_SCRIPT} bytes")
