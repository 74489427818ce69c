"""One compile: snapshot, class, scope and memos, and the look-ups that several builders share. Pure."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from meshcore.hosts import resolve_short_host
from meshcore.model.mesh_config import CONFIG_MAP_NAME, ROOT_NAMESPACE, MeshConfig
from meshcore.xds.origin import Origins, distinct
from meshcore.xds.resource import PackedResource

from pilot.core.compiler.address_families import Families, is_dual_stack
from pilot.core.compiler.cache import CompileCache, Same
from pilot.core.diagnostics import Diagnostic
from pilot.core.peer_authentication import NamespaceMtls
from pilot.core.proxy import ProxyClass
from pilot.core.registry import Endpoint, Port, Service
from pilot.core.registry.endpoint import topology_labels
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.destination_rules import (
    RuleSpace,
    ServiceRule,
    foreign_space,
    merge_rules,
    own_space,
    rules_for,
)
from pilot.core.visibility.scoping import Scope, scope_for, visible_services

T = TypeVar("T")


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

    @property
    def mesh(self) -> MeshConfig:
        """The mesh config."""
        return self.snapshot.mesh_config

    @cached_property
    def families(self) -> Families:
        """What its sockets and names are to be."""
        return Families(self.proxy_class.families, is_dual_stack(self.mesh))

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
        """What this class sees."""
        snapshot, one = self.snapshot, self.proxy_class
        key = (
            "scope",
            one.type,
            one.namespace,
            one.labels,
            one.captures_dns,
            one.families,
            Same(snapshot.registry.by_host),
            Same(snapshot.by_namespace.get("VirtualService")),
            Same(snapshot.by_namespace.get("Sidecar")),
            Same(snapshot.mesh_config),
        )
        return self.cache.memo(key, lambda: scope_for(snapshot, one, self._services))

    def _services(self) -> tuple[Service, ...]:
        """Services without a Sidecar's say: the same tuple while neither they nor the mesh config change."""
        snapshot, one = self.snapshot, self.proxy_class
        traits = (one.namespace, one.captures_dns, one.families)
        key = ("services", traits, Same(snapshot.registry.by_host), Same(snapshot.mesh_config))
        return self.cache.memo(key, lambda: visible_services(snapshot, one))

    def memo(self, key: Hashable, build: Callable[[], T]) -> T:
        """See CompileCache."""
        return self.cache.memo(key, build)

    @cached_property
    def rules_key(self) -> tuple[Hashable, ...]:
        """Stands for all DestinationRules as this class sees them."""
        one = self.proxy_class
        rules = self.snapshot.by_namespace.get("DestinationRule")
        return one.namespace, one.labels, Same(rules), Same(self.mesh)

    @cached_property
    def _rules(self) -> dict[tuple[str, str], ServiceRule]:
        """Filled as services are asked for; it is a memo of its own."""
        return self.cache.memo(("rules", *self.rules_key), dict)

    def rule(self, service: Service) -> ServiceRule:
        """The DestinationRule of a service as this class sees it; the same object while its configs stay."""
        place = (service.host, service.namespace)
        found = self._rules.get(place)
        if found is None:
            rules = rules_for(
                service.host,
                service.namespace,
                self.proxy_class.namespace,
                self.mesh.root_namespace,
                self._own_space,
                self._foreign_space,
            )
            found = self.cache.memo(("rule", *map(Same, rules)), lambda: merge_rules(rules))
            self._rules[place] = found
        return found

    def _own_space(self) -> RuleSpace:
        one = self.proxy_class
        rules = self.snapshot.destination_rules(one.namespace)
        return self.cache.memo(("own-rules", Same(rules), one.labels), lambda: own_space(rules, one.label_map))

    def _foreign_space(self, owner: str) -> RuleSpace:
        rules, mesh, namespace = self.snapshot.destination_rules(owner), self.mesh, self.proxy_class.namespace
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
) -> Compiled:
    """Pack one message with the config objects that made it; see `PackedResource.pack`."""
    return Compiled(PackedResource.pack(type_url, name, message, distinct(origins), beside), diagnostics)
