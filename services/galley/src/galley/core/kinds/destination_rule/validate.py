"""The rules of a DestinationRule."""

from meshcore.model.destination_rule import DestinationRule, Subset

from galley.core.rules.label_maps import check_export_to, check_labels, check_selector
from galley.core.rules.names import check_label, check_wildcard_host
from galley.core.rules.report import Report
from galley.core.rules.traffic_policy import check_traffic_policy


def validate(rule: DestinationRule, report: Report) -> None:
    """Host, policies, subsets, visibility."""
    spec, namespace = rule.spec, rule.metadata.namespace
    check_wildcard_host(report, "spec.host", spec.host)
    if spec.traffic_policy is not None:
        check_traffic_policy(report, "spec.trafficPolicy", spec.traffic_policy, namespace)
    names: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        _check_subset(report, f"spec.subsets[{index}]", subset, namespace)
        if subset.name in names:
            report.error(f"spec.subsets[{index}].name", f"{subset.name!r} is there twice")
        names.add(subset.name)
    check_export_to(report, "spec.exportTo", spec.export_to, namespace)
    if spec.workload_selector is not None:
        check_selector(report, "spec.workloadSelector.matchLabels", spec.workload_selector.match_labels)
        if any(place not in (".", namespace) for place in spec.export_to) or len(spec.export_to) > 1:
            report.error("spec.exportTo", "a rule with a workloadSelector counts in its own namespace only", "'.'")


def _check_subset(report: Report, path: str, subset: Subset, namespace: str) -> None:
    check_label(report, f"{path}.name", subset.name)
    check_labels(report, f"{path}.labels", subset.labels)
    if subset.traffic_policy is not None:
        check_traffic_policy(report, f"{path}.trafficPolicy", subset.traffic_policy, namespace)
