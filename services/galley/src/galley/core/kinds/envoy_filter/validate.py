"""The rules of an EnvoyFilter: whom it selects, and each of its patches."""

from meshcore.model.envoy_filter import ApplyTo, ConfigPatch, EnvoyFilter, PatchContext, PatchOperation
from meshcore.xds.fragment import check_fragment

from galley.core.kinds.envoy_filter.match import check_match
from galley.core.rules.label_maps import check_selector
from galley.core.rules.report import Report

INTERNALS = "it patches Envoy's configuration as it is generated today, which may change with any version"


def validate(envoy_filter: EnvoyFilter, report: Report) -> None:
    """All patches; a wrong selector is reported alone, as in Istio. Every EnvoyFilter is warned of as a whole."""
    spec = envoy_filter.spec
    report.warn("spec", INTERNALS)
    if spec.workload_selector is not None and not check_selector(
        report, "spec.workloadSelector.labels", spec.workload_selector.labels
    ):
        return
    for index, patch in enumerate(spec.config_patches):
        if patch.match is None or patch.match.context is not PatchContext.WAYPOINT:
            _check_patch(report, f"spec.configPatches[{index}]", patch)


def _check_patch(report: Report, path: str, change: ConfigPatch) -> None:
    """One patch; what is missing, and a match that does not fit, end its check."""
    if change.apply_to is ApplyTo.INVALID:
        report.error(f"{path}.applyTo", "required", "a kind of object, such as HTTP_FILTER")
    elif change.patch is None:
        report.error(f"{path}.patch", "required", "an operation and a value")
    elif change.patch.operation is PatchOperation.INVALID:
        report.error(f"{path}.patch.operation", "required", "an operation such as MERGE")
    elif change.patch.operation is not PatchOperation.REMOVE and change.patch.value is None:
        report.error(f"{path}.patch.value", f"required by {change.patch.operation.value}", "a part of Envoy's config")
    elif check_match(report, f"{path}.match", change.match, change.apply_to) and change.patch.value is not None:
        found = check_fragment(change.apply_to.value, change.patch.value)
        for fault in found.errors:
            report.error(f"{path}.patch.value", fault, f"what Envoy takes for {change.apply_to.value}")
        for doubt in found.warnings:
            report.warn(f"{path}.patch.value", doubt)
