"""The one form of a RequestAuthentication."""

from meshcore.model.request_authentication import JwtRule, RequestAuthentication

from galley.core.kind_rules import Naming


def normalize(policy: RequestAuthentication, _: Naming) -> RequestAuthentication:
    """`jwks_uri` becomes `jwksUri`."""
    if not any(rule.jwks_uri_snake for rule in policy.spec.jwt_rules):
        return policy
    rules = tuple(map(_one_spelling, policy.spec.jwt_rules))
    return policy.model_copy(update={"spec": policy.spec.model_copy(update={"jwt_rules": rules})})


def _one_spelling(rule: JwtRule) -> JwtRule:
    if rule.jwks_uri_snake is None:
        return rule
    return rule.model_copy(update={"jwks_uri": rule.jwks_uri_snake, "jwks_uri_snake": None})
