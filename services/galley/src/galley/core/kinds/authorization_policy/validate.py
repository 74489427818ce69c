"""The rules of an AuthorizationPolicy as a whole: its action, its provider, its targets."""

from meshcore.model.authorization_policy import Action, AuthorizationPolicy, AuthorizationPolicySpec, Rule

from galley.core.kinds.authorization_policy.conditions import check_condition
from galley.core.kinds.authorization_policy.operations import check_operation
from galley.core.kinds.authorization_policy.sources import check_source, is_tcp_source
from galley.core.rules.policy_target import check_policy_target
from galley.core.rules.report import Report

_DRY_RUN = "istio.io/dry-run"


def validate(policy: AuthorizationPolicy, report: Report) -> None:
    """Targets, the action with what it needs, every rule; what CUSTOM cannot decide on is refused there."""
    spec = policy.spec
    check_policy_target(report, spec.selector, spec.target_ref, spec.target_refs)
    if _DRY_RUN in policy.metadata.annotations and spec.action not in (Action.ALLOW, Action.DENY):
        report.error(f"metadata.annotations[{_DRY_RUN}]", f"{spec.action} cannot be run dry", "action ALLOW or DENY")
    _check_action(spec, report)
    for index, rule in enumerate(spec.rules or ()):
        _check_rule(report, f"spec.rules[{index}]", rule, spec.action)


def _check_action(spec: AuthorizationPolicySpec, report: Report) -> None:
    if spec.action is Action.CUSTOM:
        if not spec.rules:
            report.error("spec.rules", "required for action CUSTOM", "rules; [{}] is every request")
        if spec.provider is None or not spec.provider.name:
            report.error("spec.provider.name", "required for action CUSTOM", "an extension provider of the mesh config")
    elif spec.provider is not None:
        report.error("spec.provider", f"must not be set for action {spec.action}", "action CUSTOM")
    if spec.action is Action.DENY and not spec.rules:
        report.error("spec.rules", "a DENY policy without rules denies nothing", "rules; [{}] is every request")


def _check_rule(report: Report, path: str, rule: Rule, action: Action) -> None:
    if rule.from_ is not None and not rule.from_:
        report.error(f"{path}.from", "no source", "at least one source, or no from")
    for index, item in enumerate(rule.from_ or ()):
        check_source(report, f"{path}.from[{index}].source", item.source, action)
    if rule.to is not None and not rule.to:
        report.error(f"{path}.to", "no operation", "at least one operation, or no to")
    for index, target in enumerate(rule.to or ()):
        check_operation(report, f"{path}.to[{index}].operation", target.operation, action)
    for index, condition in enumerate(rule.when):
        check_condition(report, f"{path}.when[{index}]", condition, action)
    if action is Action.DENY:
        _warn_of_tcp(report, path, rule)


def _warn_of_tcp(report: Report, path: str, rule: Rule) -> None:
    """On a TCP port attributes of HTTP are left out of a DENY rule: without any other it denies everything there."""
    sources = [item.source for item in rule.from_ or () if item.source is not None]
    operations = [target.operation for target in rule.to or () if target.operation is not None]
    by_port = any(operation.ports or operation.not_ports for operation in operations)
    by_connection = by_port if operations else any(map(is_tcp_source, sources))
    if (sources or operations) and not by_connection:
        report.warn(path, "only attributes of HTTP in a DENY rule: it denies everything on TCP ports; name the ports")
