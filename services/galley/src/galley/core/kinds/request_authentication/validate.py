"""Issuers, where their keys come from, and what becomes of their tokens."""

from meshcore.model.request_authentication import JwtRule, RequestAuthentication

from galley.core.kinds.request_authentication.jwks import has_private_keys, jwks_fault
from galley.core.rules.policy_target import check_policy_target
from galley.core.rules.quantities import check_duration
from galley.core.rules.report import Report


def validate(policy: RequestAuthentication, report: Report) -> None:
    """Targets and every issuer."""
    spec = policy.spec
    check_policy_target(report, spec.selector, spec.target_ref, spec.target_refs)
    for index, rule in enumerate(spec.jwt_rules):
        _check_rule(report, f"spec.jwtRules[{index}]", rule)


def _check_rule(report: Report, path: str, rule: JwtRule) -> None:
    if not rule.issuer and not rule.jwks_uri and not rule.jwks_uri_snake:
        report.error(f"{path}.issuer", "neither issuer nor jwksUri", "at least one of them")
    if rule.jwks:
        if fault := jwks_fault(rule.jwks):
            report.error(f"{path}.jwks", fault, "a JSON Web Key or Key Set (RFC 7517)")
        elif has_private_keys(rule.jwks):
            report.warn(f"{path}.jwks", "the keys are private or symmetric: whoever reads this can make tokens")
    check_duration(report, f"{path}.timeout", rule.timeout)
