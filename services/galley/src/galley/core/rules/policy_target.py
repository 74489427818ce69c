"""What a policy applies to. That it is said in one way only, and well-formed, is its schema's matter."""

from meshcore.model.destination_rule import PolicySelector
from meshcore.model.policy_target import PolicyTargetReference

from galley.core.rules.label_maps import check_selector
from galley.core.rules.report import Report

_GATEWAY_API = "gateway.networking.k8s.io"
_SUPPORTED = frozenset(
    (
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        (_GATEWAY_API, "Gateway"),
        (_GATEWAY_API, "GatewayClass"),
    )
)


def check_policy_target(
    report: Report,
    selector: PolicySelector | None,
    target_ref: PolicyTargetReference | None,
    target_refs: tuple[PolicyTargetReference, ...],
) -> None:
    """Labels that select, and objects of kinds that a policy can apply to."""
    if selector is not None:
        check_selector(report, "spec.selector.matchLabels", selector.match_labels)
    if target_ref is not None:
        _check_target(report, "spec.targetRef", target_ref)
    for index, target in enumerate(target_refs):
        _check_target(report, f"spec.targetRefs[{index}]", target)


def _check_target(report: Report, path: str, target: PolicyTargetReference) -> None:
    if (target.group, target.kind) not in _SUPPORTED:
        report.error(
            path,
            f"a policy cannot apply to {target.group or 'core'}/{target.kind}",
            "Service, ServiceEntry, Gateway or GatewayClass of the Gateway API",
        )
