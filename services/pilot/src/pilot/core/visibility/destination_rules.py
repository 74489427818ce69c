"""Which DestinationRule counts for a service, seen from a namespace, and what becomes of several for one host. Pure.

Looked for in the client's namespace, then the service's, then the root namespace (there and in the service's only what
is exported); in each the most specific host wins. Rules of one namespace for the same host with the same `exportTo` are
merged: subsets are joined, the first traffic policy wins (Istio: PushContext.destinationRule).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshcore.hosts import is_wildcard, most_specific, resolve_short_host
from meshcore.labels import selects
from meshcore.model import DestinationRule
from meshcore.model.destination_rule import ClientTlsSettings as ClientTls
from meshcore.model.destination_rule import (
    ConnectionPoolSettings,
    LoadBalancerSettings,
    OutlierDetection,
    ProxyProtocol,
    RetryBudget,
    Subset,
    TrafficPolicy,
    TunnelSettings,
)
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds.origin import Origins, distinct

from pilot.core.config import Config, exported
from pilot.core.diagnostics import Diagnostic

Rules = tuple[Config[DestinationRule], ...]
Spaces = Mapping[str, Rules]
"""By namespace."""


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """The traffic policy that holds for one port (of one subset), with every level resolved."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


@dataclass(frozen=True, eq=False)
class ServiceRule:
    """The rule of one service: the merged configs, oldest first. `NO_RULE` when there is none."""

    configs: Rules = ()
    subsets: tuple[Subset, ...] = ()
    policy: TrafficPolicy | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def subset(self, name: str) -> Subset | None:
        """The subset of that name."""
        return next((subset for subset in self.subsets if subset.name == name), None)

    def makers(self, subset: str = "") -> Origins:
        """The rules to which a cluster owes something: the one with the policy, and the one that defines the subset."""
        policy = next((config for config in self.configs if config.object.spec.traffic_policy), None)
        defining = None
        if subset:
            named = (config for config in self.configs if any(one.name == subset for one in config.object.spec.subsets))
            defining = next(named, None)
        return distinct(config.ref for config in (defining, policy) if config is not None)

    def policy_of(self, port: int, subset: str = "", mesh: MeshConfig | None = None) -> PortPolicy:
        """Port-level settings replace the whole policy of their level; a subset's policy overrides block by block.

        With `mesh` the blocks that nothing sets are those of its `defaultTrafficPolicy`."""
        found = self._policy_of(port, subset)
        general = mesh.default_traffic_policy if mesh is not None else None
        if general is None:
            return found
        return replace(
            found,
            connection_pool=found.connection_pool or general.connection_pool,
            outlier_detection=found.outlier_detection or general.outlier_detection,
        )

    def _policy_of(self, port: int, subset: str) -> PortPolicy:
        general = _at_port(self.policy, port)
        found = self.subset(subset) if subset else None
        if found is None or found.traffic_policy is None:
            return general
        special = _at_port(found.traffic_policy, port)
        return replace(
            general,
            **{name: value for name in PortPolicy.__slots__ if (value := getattr(special, name)) is not None},
        )


NO_RULE = ServiceRule()


class RuleSpace(NamedTuple):
    """The rules of one namespace that count for one client, by host."""

    exact: Mapping[str, Rules]
    wildcard: Mapping[str, Rules]

    def best(self, host: str) -> Rules:
        """Those of the most specific host that covers this one."""
        if host in self.exact:
            return self.exact[host]
        pattern = most_specific(self.wildcard, host) if self.wildcard else None
        return self.wildcard[pattern] if pattern is not None else ()


NO_SPACE = RuleSpace({}, {})


def own_space(rules: Rules, labels: Mapping[str, str]) -> RuleSpace:
    """The rules of the client's own namespace: selectors must match its labels."""
    return _space(rule for rule in rules if _selects(rule, labels))


def foreign_space(rules: Rules, mesh: MeshConfig, namespace: str) -> RuleSpace:
    """The rules of another namespace that are exported to the client's."""
    return _space(rule for rule in rules if _exported(mesh, rule, namespace))


def rules_for(
    host: str, owner: str, namespace: str, root: str, own: Callable[[], RuleSpace], foreign: Callable[[str], RuleSpace]
) -> Rules:
    """The rules to merge for a service of namespace `owner`, seen from a workload of `namespace`.

    `own` and `foreign` give the spaces (see `own_space`, `foreign_space`) and are asked only when they are needed.
    """
    if namespace != root and (found := own().best(host)):
        return found
    for space in dict.fromkeys((owner, root)):
        if found := foreign(space).best(host):
            return found
    return ()


def changed_hosts(before: Spaces, after: Spaces) -> frozenset[str]:
    """The hosts, wildcards among them, of all rules that one of the two has and the other has not."""
    hosts = set()
    for namespace in before.keys() | after.keys():
        old, new = before.get(namespace, ()), after.get(namespace, ())
        if old is not new:
            then, now = set(map(id, old)), set(map(id, new))
            for rule in (*old, *new):
                if id(rule) not in then or id(rule) not in now:
                    hosts.add(resolve_short_host(rule.object.spec.host.lower(), rule.namespace))
    return frozenset(hosts)


def merge_rules(rules: Rules) -> ServiceRule:
    """One rule of all: first policy, all subsets, the first of each name."""
    if not rules:
        return NO_RULE
    subsets: dict[str, Subset] = {}
    problems = []
    for rule in rules:
        for subset in rule.object.spec.subsets:
            if subset.name in subsets:
                problems.append(
                    Diagnostic("subset-twice", rule.path, f"Subset {subset.name!r} is already defined for this host.")
                )
            subsets.setdefault(subset.name, subset)
    policy = next((rule.object.spec.traffic_policy for rule in rules if rule.object.spec.traffic_policy), None)
    return ServiceRule(rules, tuple(subsets.values()), policy, tuple(problems))


def _space(rules: Iterable[Config[DestinationRule]]) -> RuleSpace:
    by_host: dict[str, list[Config[DestinationRule]]] = {}
    for rule in rules:
        name = resolve_short_host(rule.object.spec.host.lower(), rule.namespace)
        by_host.setdefault(name, []).append(rule)
    space = RuleSpace({}, {})
    for host, found in by_host.items():
        # Rules with a workload selector come first; those of another audience than the first are left out.
        ordered = sorted(found, key=lambda rule: rule.object.spec.workload_selector is None)
        audience = sorted(ordered[0].object.spec.export_to)
        kept = tuple(rule for rule in ordered if sorted(rule.object.spec.export_to) == audience)
        (space.wildcard if is_wildcard(host) else space.exact)[host] = kept  # type: ignore[index]
    return space


def _selects(rule: Config[DestinationRule], labels: Mapping[str, str]) -> bool:
    selector = rule.object.spec.workload_selector
    return selector is None or selects(selector.match_labels, labels)


def _exported(mesh: MeshConfig, rule: Config[DestinationRule], namespace: str) -> bool:
    if rule.object.spec.workload_selector is not None:
        return False
    targets: Iterable[str] = rule.object.spec.export_to or mesh.default_destination_rule_export_to
    return exported(targets, rule.namespace, namespace)


def _at_port(policy: TrafficPolicy | None, port: int) -> PortPolicy:
    if policy is None:
        return PortPolicy()
    for item in policy.port_level_settings:
        if item.port is not None and item.port.number == port:
            return PortPolicy(item.load_balancer, item.connection_pool, item.outlier_detection, item.tls)
    return PortPolicy(*(getattr(policy, name) for name in PortPolicy.__slots__))
