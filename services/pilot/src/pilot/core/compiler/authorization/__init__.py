"""AuthorizationPolicy: who may do what at a workload, as RBAC and ext_authz filters of its listeners.

A request meets CUSTOM, then the JWT filter, AUDIT, DENY and ALLOW, in this order; the first that denies answers. With
no ALLOW policy everything is allowed that nothing denies; with one, what none of them names is denied. Connections
that are not read as HTTP meet the same policies by what there is of a connection. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.authorization_policy import Action
from meshcore.xds.names import VIRTUAL_INBOUND
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.authorization.ext_authz import Custom, Provider, custom_filters, provider_name
from pilot.core.compiler.authorization.filters import Filter, action_filter, spelling_filter
from pilot.core.compiler.authorization.policies import Policies, Policy, is_dry_run, policies_of
from pilot.core.compiler.authorization.providers import provider_of
from pilot.core.compiler.authorization.rules import looks_at_hosts
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.filter_order import HttpSlot, insert
from pilot.core.compiler.istiod_switches import is_switched_on
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.compiler.tls import trust_domains
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.proxy import ProxyType

__all__ = ["Authorization", "authorization_of", "authorization_problems", "authorized"]

_Manager = http_connection_manager_pb2.HttpConnectionManager
_HOLE = f"{VIRTUAL_INBOUND}-blackhole"
_ENFORCED = (Action.AUDIT, Action.DENY, Action.ALLOW)
"""The order in which a request meets them, behind CUSTOM."""
SEVERAL_PROVIDERS = "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS"
"""Whether each provider that CUSTOM policies of one workload name is asked; without it two of them deny."""


@dataclass(frozen=True, eq=False)
class Authorization:
    """The filters of one class, in order: `custom` before the JWT filter, `then` behind it, behind those for other
    spellings of the same; and those for connections of bytes."""

    custom: tuple[Custom, ...]
    then_spellings: tuple[Any, ...]
    then: tuple[Any, ...]
    tcp_custom: tuple[Custom, ...]
    tcp_then: tuple[Any, ...]
    policies: tuple[Policy, ...]
    reads_hosts: bool


def authorized(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the filters of the policies in the listeners that take traffic to the proxy's own."""
    found = authorization_of(work)
    if found is None:
        yield from compiled
        return
    stage = Stage[Compiled](work, "authorized", Same(found))
    for item in compiled:
        is_listener = item.resource.type_url == LISTENER_TYPE
        yield stage.of(item, partial(_authorize, work, found, item)) if is_listener else item


def authorization_problems(work: Compilation) -> Iterator[Diagnostic]:
    """CUSTOM policies whose provider cannot be asked: they deny, or, on connections of bytes, do nothing."""
    policies = policies_of(work)
    custom = policies.doing(Action.CUSTOM) if policies is not None else ()
    real = [policy for policy in custom if not is_dry_run(policy)]
    providers = {name: provider_of(work, name) for name in sorted(set(map(provider_name, real)))}
    too_many = len(providers) > 1 and not is_switched_on(work.mesh, SEVERAL_PROVIDERS)
    for policy in custom:
        provider = providers.get(provider_name(policy))
        if is_dry_run(policy) or provider is None:
            text = "A CUSTOM policy cannot be run dry: it does nothing."
        elif provider.problem:
            text = (
                f"The provider {provider.name} cannot be asked, so what the rules match is denied: {provider.problem}."
            )
        elif too_many:
            text = f"A workload has one provider, and here are {', '.join(providers)}: what the rules match is denied."
        else:
            continue
        yield Diagnostic("authorization-provider", policy.path, text, Severity.ERROR)


def authorization_of(work: Compilation) -> Authorization | None:
    """The filters of the policies that count for this class; None without any."""
    policies = policies_of(work)
    if policies is None:
        return None
    names = {provider_name(policy) for policy in policies.doing(Action.CUSTOM) if not is_dry_run(policy)}
    providers = tuple(provider_of(work, name) for name in sorted(names))
    usable = tuple((item.name, item.cluster, item.problem) for item in providers)
    key = ("authorization", Same(policies), Same(work.mesh), usable)
    domains = trust_domains(work.mesh)
    several = is_switched_on(work.mesh, SEVERAL_PROVIDERS)
    return work.memo(key, lambda: _filters_of(policies, providers, domains, several=several))


def _filters_of(
    policies: Policies, providers: Sequence[Provider], domains: Sequence[str], *, several: bool
) -> Authorization:
    custom = [policy for policy in policies.doing(Action.CUSTOM) if not is_dry_run(policy)]

    def enforced(*, is_tcp: bool) -> list[Filter]:
        found = [action_filter(policies.doing(one), one, domains, is_tcp=is_tcp) for one in _ENFORCED]
        return [item for item in found if item is not None]

    spellings = spelling_filter(policies.doing(Action.DENY), domains)
    return Authorization(
        custom=tuple(custom_filters(custom, providers, domains, is_tcp=False, several=several)),
        then_spellings=(spellings,) if spellings is not None else (),
        then=tuple(enforced(is_tcp=False)),
        tcp_custom=tuple(custom_filters(custom, providers, domains, is_tcp=True, several=several)),
        tcp_then=tuple(enforced(is_tcp=True)),
        policies=policies.found,
        reads_hosts=any(looks_at_hosts(rule) for policy in policies.found for rule in policy.object.spec.rules or ()),
    )


def _authorize(work: Compilation, found: Authorization, item: Compiled) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    is_inbound = listener.traffic_direction == base_pb2.TrafficDirection.INBOUND
    if not is_inbound and work.proxy_class.type is not ProxyType.ROUTER:
        return item
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        if chain.name != _HOLE and chain.filters:
            _guard(chain.filters, found)
    return repacked(item, listener, [policy.ref for policy in found.policies])


def _guard(filters: Any, found: Authorization) -> None:
    """Put the filters into a chain: into its connection manager, or before all that it does with bytes."""
    for item in filters:
        if item.typed_config.Is(_Manager.DESCRIPTOR):
            manager = _Manager.FromString(item.typed_config.value)
            custom = [one for item in found.custom for one in (*item.spellings, *item.filters)]
            made = [(HttpSlot.CUSTOM_AUTHORIZATION, one) for one in custom]
            made += [(HttpSlot.RBAC, one) for one in (*found.then_spellings, *found.then)]
            insert(manager.http_filters, made)
            if found.reads_hosts:
                # `shop.example.` is the same host as `shop.example`: a rule for one is not dodged by the other.
                manager.strip_trailing_host_dot = True
            item.typed_config.CopyFrom(any_of(manager))
            return
    behind = list(filters)
    del filters[:]
    custom = [one for item in found.tcp_custom for one in item.filters]
    filters.extend([*custom, *found.tcp_then, *behind])
