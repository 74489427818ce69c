"""One compile: snapshot, class, scope and memos, and the look-ups that several builders share. Pure."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

from meshcore.hosts import host_matches, is_wildcard, resolve_short_host
from meshcore.model.mesh_config import CONFIG_MAP_NAME, ROOT_NAMESPACE, MeshConfig
from meshcore.xds.origin import Origins, distinct
from meshcore.xds.resource import PackedResource

from pilot.core.compiler.address_families import Families, is_dual_stack
from pilot.core.compiler.cache import A, Before, CompileCache, Same
from pilot.core.compiler.clients import Client, client_of
from pilot.core.diagnostics import Diagnostic
from pilot.core.peer_authentication import NamespaceMtls
from pilot.core.proxy import ProxyClass
from pilot.core.registry import Endpoint, Port, Service
from pilot.core.registry.endpoint import topology_labels
from pilot.core.registry.service import ServiceKey
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.destination_rules import (
    NO_RULE,
    NO_SPACE,
    RuleSpace,
    ServiceRule,
    Spaces,
    changed_hosts,
    foreign_space,
    merge_rules,
    own_space,
    rules_for,
)
from pilot.core.visibility.scoping import Scope, all_routes, scope_for, seen, visible_services
from pilot.core.visibility.seen import PublicRoutes, SeenServices, public_services

T = TypeVar("T")
_NO_RULES: Spaces = {}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A packed resource and what of the config it could not honour; `secrets` are the names that Pilot is asked for."""

    resource: PackedResource
    diagnostics: tuple[Diagnostic, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass
class Compilation:
    """What one compile works on; lives for one call."""

    snapshot: MeshSnapshot
    proxy_class: ProxyClass
    cache: CompileCache
    _once: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def mesh(self) -> MeshConfig:
        """The mesh config."""
        return self.snapshot.mesh_config

    @cached_property
    def families(self) -> Families:
        """What its sockets and names are to be."""
        return Families(self.proxy_class.families, is_dual_stack(self.mesh))

    @cached_property
    def client(self) -> Client:
        """The class as it calls for itself."""
        return client_of(self.proxy_class)

    @cached_property
    def own_suffix(self) -> str:
        """How the hosts of the class's own namespace end, of which it knows short forms."""
        return f".{self.proxy_class.namespace}.svc.{self.proxy_class.domain}"

    @cached_property
    def mesh_origins(self) -> Origins:
        """The object with the mesh config; nothing while the mesh has its defaults."""
        found = self.snapshot.configs.get("ConfigMap", {}).get((ROOT_NAMESPACE, CONFIG_MAP_NAME))
        return (found.ref,) if found is not None else ()

    @cached_property
    def place_labels(self) -> dict[str, str]:
        """Where this class is, as labels, with the other labels that failover looks at."""
        one = self.proxy_class
        labels = topology_labels(one.locality, one.network, one.cluster, "")
        return labels | {key: text for key, text in one.labels if key in self.snapshot.selection.place_keys}

    @cached_property
    def scope(self) -> Scope:
        """What this class sees; the same object while its services, routes and Sidecars stay."""
        snapshot, one = self.snapshot, self.proxy_class
        inputs = (
            snapshot.registry.by_host,
            snapshot.by_namespace.get("VirtualService"),
            snapshot.by_namespace.get("Sidecar"),
            snapshot.mesh_config,
        )
        return self.newest("scope", inputs, lambda _: scope_for(snapshot, one, _Remembered(self)))

    def memo(self, key: Hashable, build: Callable[[], T]) -> T:
        """See CompileCache."""
        return self.cache.memo(key, build)

    def once(self, what: Hashable, build: Callable[[], T]) -> T:
        """What stays the same for the whole of this compile, and is asked for again and again."""
        try:
            found: T = self._once[what]
        except KeyError:
            found = self._once[what] = build()
        return found

    @cached_property
    def rules_key(self) -> tuple[Hashable, ...]:
        """Stands for all DestinationRules as this class sees them."""
        one = self.proxy_class
        rules = self.snapshot.by_namespace.get("DestinationRule")
        return one.namespace, one.labels, Same(rules), Same(self.mesh)

    def newest(
        self, what: Hashable, inputs: tuple[object, ...], build: Callable[[Before], T], key: Hashable = None
    ) -> T:
        """See CompileCache: what is this class's own."""
        return self.cache.newest(self.proxy_class, what, inputs, build, key)

    def newest_of_all(
        self, what: Hashable, inputs: tuple[object, ...], build: Callable[[Before], T], key: Hashable = None
    ) -> T:
        """What classes share."""
        return self.cache.newest(None, what, inputs, build, key)

    def last(self, what: Hashable) -> tuple[Any, Callable[[Any], None]]:
        """See CompileCache: what is this class's own."""
        return self.cache.last(self.proxy_class, what)

    def alike(self, what: Hashable, made_of: tuple[object, ...], build: Callable[[], A]) -> A:
        """See CompileCache: what classes have alike."""
        return self.cache.alike(what, made_of, build)

    def newest_alike(self, what: Hashable, made_of: tuple[object, ...], build: Callable[[Before], A]) -> A:
        """What is this class's own, and one object with that of other classes that have it of the same."""
        return self.newest(what, made_of, lambda before: self.alike(what, made_of, lambda: build(before)))

    @cached_property
    def rules(self) -> dict[ServiceKey, ServiceRule]:
        """The DestinationRules of services as this class sees them, filled as they are asked for. Another object when
        any rule of the mesh has changed; the rules that did not are in it."""
        return self.newest("rules", (self.rule_spaces, self.mesh), self._rules_after)

    @property
    def rule_spaces(self) -> Spaces:
        """All DestinationRules; the same object while they stay."""
        return self.snapshot.by_namespace.get("DestinationRule", _NO_RULES)

    def _rules_after(self, before: Before) -> dict[ServiceKey, ServiceRule]:
        changed = self.changed_rules(before)
        if before is None or changed is None:
            return {}
        exact = {host for host in changed if not is_wildcard(host)}
        wide = changed - exact
        return {
            key: rule
            for key, rule in before.value.items()
            if key[0] not in exact and not (wide and any(host_matches(pattern, key[0]) for pattern in wide))
        }

    def changed_rules(self, before: Before) -> frozenset[str] | None:
        """The hosts of the rules that are others than when `before` was built, whose first inputs are all rules and the
        mesh config; None when that says too little."""
        if before is None or before.inputs[1] is not self.mesh:
            return None
        then, now = cast(Spaces, before.inputs[0]), self.rule_spaces
        return self.newest_of_all("changed rules", (then, now), lambda _: changed_hosts(then, now))

    def rule(self, service: Service) -> ServiceRule:
        """The DestinationRule of a service as this class sees it; the same object while its configs stay."""
        key = service.key
        found = self.rules.get(key)
        if found is None:
            rules = rules_for(
                service.host,
                service.namespace,
                self.proxy_class.namespace,
                self.mesh.root_namespace,
                self._own_space,
                self._foreign_space,
            )
            made = self.cache.memo(("rule", *map(Same, rules)), lambda: merge_rules(rules)) if rules else NO_RULE
            found = self.rules[key] = made
        return found

    def _own_space(self) -> RuleSpace:
        return self._own

    @cached_property
    def _own(self) -> RuleSpace:
        one = self.proxy_class
        rules = self.snapshot.destination_rules(one.namespace)
        return self.cache.memo(("own-rules", Same(rules), one.labels), lambda: own_space(rules, one.label_map))

    def _foreign_space(self, owner: str) -> RuleSpace:
        return self.once(("foreign rules", owner), lambda: self._foreign(owner))

    def _foreign(self, owner: str) -> RuleSpace:
        rules, mesh, namespace = self.snapshot.destination_rules(owner), self.mesh, self.proxy_class.namespace
        if not rules:
            return NO_SPACE
        key = ("foreign-rules", Same(rules), Same(mesh), namespace)
        return self.cache.memo(key, lambda: foreign_space(rules, mesh, namespace))

    def mtls(self, namespace: str) -> NamespaceMtls:
        """The PeerAuthentications of a namespace."""
        return self.snapshot.mtls(namespace)

    def endpoints(self, service: Service) -> tuple[Endpoint, ...]:
        """All endpoints of a service; the same tuple while they stay."""
        return self.snapshot.registry.endpoints_of(service)

    def service(self, host: str, namespace: str) -> Service | None:
        """The service that a destination of a config in `namespace` names, if it is in scope."""
        return self.scope.by_host.get(resolve_short_host(host.lower(), namespace, self.proxy_class.domain))


def accounts_of(endpoints: tuple[Endpoint, ...]) -> tuple[tuple[str, str], ...]:
    """The identities behind a service: (namespace, service account), sorted."""
    return tuple(sorted({(item.namespace, item.service_account) for item in endpoints if item.service_account}))


def service_port(service: Service, number: int, fallback: int) -> Port | None:
    """The port that a destination means: the one it names, the service's only one, or the one that was dialled."""
    if number:
        return service.port(number)
    return service.ports[0] if len(service.ports) == 1 else service.port(fallback)


def packed(
    type_url: str,
    name: str,
    message: Any,
    diagnostics: tuple[Diagnostic, ...] = (),
    origins: Origins = (),
    beside: Origins = (),
    told: bytes | None = None,
) -> Compiled:
    """Pack one message with the config objects that made it; see `PackedResource.pack`."""
    return Compiled(PackedResource.pack(type_url, name, message, distinct(origins), beside, told), diagnostics)


class _Remembered:
    """What scopes are made of, found once for all classes that see the same."""

    def __init__(self, work: Compilation) -> None:
        self._work = work

    def services(self) -> SeenServices:
        """See `Seen`."""
        work, snapshot, one = self._work, self._work.snapshot, self._work.proxy_class
        by_host, mesh = snapshot.registry.by_host, snapshot.mesh_config
        public = work.newest_of_all("public services", (by_host, mesh), lambda _: public_services(by_host, mesh))
        visible = visible_services(snapshot, public, one.namespace)
        what = ("services", one.families, one.captures_dns)
        if visible is public.services:
            return work.newest_of_all(what, (visible,), lambda _: SeenServices(seen(visible, one)))
        # Most namespaces have none of their own; of those that do, the classes of one share.
        inputs = (by_host, mesh)
        return work.newest_of_all((*what, one.namespace), inputs, lambda _: SeenServices(seen(visible, one)))

    def routes(self) -> PublicRoutes:
        """See `Seen`."""
        work, snapshot = self._work, self._work.snapshot
        inputs = (snapshot.by_namespace.get("VirtualService"), snapshot.mesh_config)
        return work.newest_of_all("public routes", inputs, lambda _: all_routes(snapshot))
