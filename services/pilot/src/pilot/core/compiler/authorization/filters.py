"""Policies of one action as one RBAC filter, for connection managers and for connections of bytes. Pure.

The stat prefixes and names of policies are Istio's, so that its dashboards and tools read them (security.md §7).
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from meshcore.model.authorization_policy import Action

from pilot.core.compiler.authorization.attributes import Place
from pilot.core.compiler.authorization.policies import Policy, is_dry_run
from pilot.core.compiler.authorization.rules import envoy_policy, has_spellings, never
from pilot.core.compiler.messages import any_of

HTTP_RBAC = "envoy.filters.http.rbac"
NETWORK_RBAC = "envoy.filters.network.rbac"
TCP_STATS = "tcp."
SHADOW_ALLOW = "istio_dry_run_allow_"
SHADOW_DENY = "istio_dry_run_deny_"
Rbac: TypeAlias = rbac_pb2.RBAC
Filter = Any
"""Of a connection manager, or of a chain."""
_ACTIONS = {Action.ALLOW: Rbac.ALLOW, Action.DENY: Rbac.DENY, Action.AUDIT: Rbac.LOG, Action.CUSTOM: Rbac.DENY}
_SHADOWS = {Rbac.ALLOW: SHADOW_ALLOW, Rbac.DENY: SHADOW_DENY}


def rule_name(policy: Policy, index: int) -> str:
    """How Envoy is told of a rule, and tells of it."""
    return f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{index}]"


def rules_of(
    policies: Iterable[Policy],
    action: Action,
    domains: Sequence[str],
    *,
    is_tcp: bool,
    wide: bool = False,
    callers: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Envoy's policies by name; `wide` for those that can be dodged by another spelling, with every spelling.
    `callers`: a gRPC library reads them, which takes callers of these trust domains."""
    found = {}
    for policy in policies:
        place = Place(policy.namespace, is_tcp, wide, callers)
        rules = policy.object.spec.rules
        if not rules and not wide:
            found[rule_name(policy, 0)] = never()
        for index, rule in enumerate(rules or ()):
            if wide and not has_spellings(rule):
                continue
            made = envoy_policy(rule, action, place, domains)
            if made is not None:
                found[rule_name(policy, index)] = made
    return found


def rbac(action: Action, policies: dict[str, Any]) -> rbac_pb2.RBAC:
    """Rules of one action; one that allows and has none denies everything."""
    return Rbac(action=_ACTIONS[action], policies=policies)


def action_filter(policies: Sequence[Policy], action: Action, domains: Sequence[str], *, is_tcp: bool) -> Filter | None:
    """The filter of an action that is enforced here; what runs dry goes to its shadow. None without policies."""
    if not policies:
        return None
    dry = [policy for policy in policies if is_dry_run(policy)]
    real = [policy for policy in policies if not is_dry_run(policy)]
    rules = rbac(action, rules_of(real, action, domains, is_tcp=is_tcp)) if real else None
    shadow = rbac(action, rules_of(dry, action, domains, is_tcp=is_tcp)) if dry else None
    prefix = _SHADOWS.get(shadow.action, "") if shadow is not None else SHADOW_ALLOW
    return rbac_filter(rules, shadow, prefix, is_tcp=is_tcp)


def spelling_filter(policies: Sequence[Policy], domains: Sequence[str]) -> Filter | None:
    """What DENY rules of HTTP deny in other spellings: a host with a port or a name before it, a method in small
    letters, a header that comes more than once or is a list. Istio's filter, which stands behind it, takes all of them
    as they are; None where nothing can differ."""
    real = [policy for policy in policies if not is_dry_run(policy)]
    rules = rules_of(real, Action.DENY, domains, is_tcp=False, wide=True)
    return rbac_filter(rbac(Action.DENY, rules), None, SHADOW_ALLOW, is_tcp=False) if rules else None


def rbac_filter(
    rules: rbac_pb2.RBAC | None, shadow: rbac_pb2.RBAC | None, shadow_prefix: str, *, is_tcp: bool
) -> Filter:
    """A filter that enforces `rules` and tells what `shadow` would do."""
    if is_tcp:
        network = network_rbac_pb2.RBAC(
            rules=rules, shadow_rules=shadow, shadow_rules_stat_prefix=shadow_prefix, stat_prefix=TCP_STATS
        )
        return listener_components_pb2.Filter(name=NETWORK_RBAC, typed_config=any_of(network))
    http = http_rbac_pb2.RBAC(rules=rules, shadow_rules=shadow, shadow_rules_stat_prefix=shadow_prefix)
    return http_connection_manager_pb2.HttpFilter(name=HTTP_RBAC, typed_config=any_of(http))
