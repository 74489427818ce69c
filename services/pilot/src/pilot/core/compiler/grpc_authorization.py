"""AuthorizationPolicy at gRPC servers without a proxy: RBAC filters that the library itself reads (gRFC A41). Pure.

A call meets the check of its trust domain, that of tokens, CUSTOM, DENY and ALLOW, in this order. What a library cannot
look at errs on the safe side: a rule that allows is left out, a rule that denies is left the rest of its terms, so that
it denies more, and, with nobody to ask, what a CUSTOM policy would ask about is denied. AUDIT and dry runs change no
answer: left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.authorization_policy import Action
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds.origin import Origins

from pilot.core.compiler.authentication import Authentication, authentication_of
from pilot.core.compiler.authorization.attributes import Place
from pilot.core.compiler.authorization.filters import HTTP_RBAC, rbac, rules_of
from pilot.core.compiler.authorization.identities import by_certificate
from pilot.core.compiler.authorization.matchers import Text
from pilot.core.compiler.authorization.policies import Policies, Policy, is_dry_run, policies_of
from pilot.core.compiler.authorization.rules import faults_of
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.grpc_tokens import unchecked_tokens
from pilot.core.compiler.inbound_ports import inbound_ports
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.tls import domains_of_callers, prefixes_of_callers, trust_domains
from pilot.core.diagnostics import Diagnostic, Severity

_DENYING = (Action.CUSTOM, Action.DENY)
_CODE = "authorization-not-known-to-grpc"


@dataclass(frozen=True, eq=False)
class GrpcAuthorization:
    """The filters of one class of servers, in order, and who made them."""

    filters: tuple[Any, ...] = ()
    origins: Origins = ()


_NOTHING = GrpcAuthorization()


def grpc_authorization(work: Compilation) -> GrpcAuthorization:
    """What the policies that count for this class let a server take; the same object while none of them changes."""
    policies, authentication = policies_of(work), authentication_of(work)
    if policies is None and not authentication.configs:
        return _NOTHING
    domains, callers = trust_domains(work.mesh), domains_of_callers(work.mesh)
    key = ("grpc-authorization", Same(policies), Same(authentication), domains, callers)
    return work.memo(key, lambda: _compiled(policies or Policies(()), authentication, domains, callers))


def trusted_callers(mesh: MeshConfig) -> Any:
    """Of those whom the root vouches for, a server takes callers of the mesh's trust domains: the filter that stands
    first where mTLS is asked for, as libraries look at no names in a client's certificate by themselves."""
    prefixes = prefixes_of_callers(mesh)
    names = [by_certificate(Text(prefix=prefix)) for prefix in prefixes] or [rbac_pb2.Principal(any=True)]
    one = rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=names)
    return _filter("trust-domains", rbac(Action.ALLOW, {"trust-domains": one}))


def grpc_authorization_problems(work: Compilation) -> Iterator[Diagnostic]:
    """Policies that gRPC servers do not follow to the letter."""
    if not inbound_ports(work):
        return
    for config in authentication_of(work).configs:
        text = "gRPC servers without a proxy check no tokens: calls that bring one are refused."
        yield Diagnostic(_CODE, config.path, text, Severity.ERROR)
    policies = policies_of(work)
    domains, callers = trust_domains(work.mesh), domains_of_callers(work.mesh)
    for policy in policies.found if policies is not None else ():
        action = policy.object.spec.action
        if action is Action.AUDIT or is_dry_run(policy):
            text = "gRPC servers without a proxy tell of no requests: the policy does nothing there."
            yield Diagnostic(_CODE, policy.path, text)
            continue
        if action is Action.CUSTOM:
            text = "gRPC servers without a proxy ask no provider: what the rules match is denied there."
            yield Diagnostic(_CODE, policy.path, text, Severity.ERROR)
        yield from _faults(policy, Place(policy.namespace, callers=callers), domains)


def _faults(policy: Policy, place: Place, domains: tuple[str, ...]) -> Iterator[Diagnostic]:
    allows = policy.object.spec.action is Action.ALLOW
    so = "the rule allows nothing there" if allows else "the rule denies there whatever the rest of it matches"
    for index, rule in enumerate(policy.object.spec.rules or ()):
        for fault in dict.fromkeys(faults_of(rule, place, domains)):
            text = f"Rule {index} cannot be followed by gRPC servers without a proxy, so {so} ({fault})."
            yield Diagnostic(_CODE, policy.path, text, Severity.ERROR)


def _compiled(
    policies: Policies, authentication: Authentication, domains: tuple[str, ...], callers: tuple[str, ...]
) -> GrpcAuthorization:
    real = Policies(tuple(one for one in policies.found if not is_dry_run(one)))
    filters = []
    tokens = unchecked_tokens(rule for config in authentication.configs for rule in config.object.spec.jwt_rules)
    if tokens:
        filters.append(_filter("tokens", rbac(Action.DENY, tokens)))
    for action in _DENYING:
        for wide in (True, False):
            rules = rules_of(real.doing(action), action, domains, is_tcp=False, wide=wide, callers=callers)
            if rules:
                filters.append(_filter(f"{action.lower()}{'-spellings' if wide else ''}", rbac(action, rules)))
    if allowing := real.doing(Action.ALLOW):
        rules = rules_of(allowing, Action.ALLOW, domains, is_tcp=False, callers=callers)
        filters.append(_filter("allow", rbac(Action.ALLOW, rules)))
    makers = (*(one.ref for one in authentication.configs), *(one.ref for one in real.found))
    return GrpcAuthorization(tuple(filters), makers)


def _filter(name: str, rules: rbac_pb2.RBAC) -> Any:
    """Libraries ask for names of which no two are the same (gRFC A39)."""
    config = http_rbac_pb2.RBAC(rules=rules)
    return http_connection_manager_pb2.HttpFilter(name=f"{HTTP_RBAC}.{name}", typed_config=any_of(config))
