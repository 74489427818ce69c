"""Which DestinationRule counts for a service, seen from a namespace, and what becomes of several for one host. Pure.

Looked for in the client's namespace, then the service's, then the root namespace (there and in the service's only what
is exported); in each the most specific host wins. Rules of one namespace for the same host with the same `exportTo` are
merged: subsets are joined, the first traffic policy wins (Istio: PushContext.destinationRule).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from meshcore.hosts import most_specific, resolve_short_host
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

from pilot.core.config import Config, exported
from pilot.core.diagnostics import Diagnostic
from pilot.core.snapshot import MeshSnapshot

Rules = tuple[Config[DestinationRule], ...]


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

    def policy_of(self, port: int, subset: str = "") -> PortPolicy:
        """Port-level settings replace the whole policy of their level; a subset's policy overrides block by block."""
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


def rules_for(snapshot: MeshSnapshot, host: str, owner: str, namespace: str, labels: Mapping[str, str]) -> Rules:
    """The rules to merge for a service of namespace `owner`, seen from a workload of `namespace` with these labels."""
    root = snapshot.mesh_config.root_namespace
    if namespace != root and (found := _best(snapshot, namespace, host, lambda rule: _selects(rule, labels))):
        return found
    for space in dict.fromkeys((owner, root)):
        if found := _best(snapshot, space, host, lambda rule: _exported(snapshot, rule, namespace)):
            return found
    return ()


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


def _best(
    snapshot: MeshSnapshot, namespace: str, host: str, counts: Callable[[Config[DestinationRule]], bool]
) -> Rules:
    by_host: dict[str, list[Config[DestinationRule]]] = {}
    for rule in snapshot.destination_rules(namespace):
        if counts(rule):
            name = resolve_short_host(rule.object.spec.host.lower(), rule.namespace)
            by_host.setdefault(name, []).append(rule)
    best = most_specific(by_host, host)
    if best is None:
        return ()
    # Rules with a workload selector come first; those of another audience than the first are left out.
    ordered = sorted(by_host[best], key=lambda rule: rule.object.spec.workload_selector is None)
    audience = sorted(ordered[0].object.spec.export_to)
    return tuple(rule for rule in ordered if sorted(rule.object.spec.export_to) == audience)


def _selects(rule: Config[DestinationRule], labels: Mapping[str, str]) -> bool:
    selector = rule.object.spec.workload_selector
    return selector is None or selects(selector.match_labels, labels)


def _exported(snapshot: MeshSnapshot, rule: Config[DestinationRule], namespace: str) -> bool:
    if rule.object.spec.workload_selector is not None:
        return False
    targets: Iterable[str] = rule.object.spec.export_to or snapshot.mesh_config.default_destination_rule_export_to
    return exported(targets, rule.namespace, namespace)


def _at_port(policy: TrafficPolicy | None, port: int) -> PortPolicy:
    if policy is None:
        return PortPolicy()
    for item in policy.port_level_settings:
        if item.port is not None and item.port.number == port:
            return PortPolicy(item.load_balancer, item.connection_pool, item.outlier_detection, item.tls)
    return PortPolicy(*(getattr(policy, name) for name in PortPolicy.__slots__))
