"""One compile: snapshot, class, scope and memos, and the look-ups that several builders share. Pure."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from meshcore.hosts import resolve_short_host
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds.resource import PackedResource

from pilot.core.compiler.cache import CompileCache, Same
from pilot.core.diagnostics import Diagnostic
from pilot.core.peer_authentication import NamespaceMtls
from pilot.core.proxy import ProxyClass
from pilot.core.registry import Endpoint, Port, Service
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.destination_rules import ServiceRule, merge_rules, rules_for
from pilot.core.visibility.scoping import Scope, scope_for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A packed resource and what of the config it could not honour."""

    resource: PackedResource
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass
class Compilation:
    """What one compile works on; lives for one call."""

    snapshot: MeshSnapshot
    proxy_class: ProxyClass
    cache: CompileCache
    _rules: dict[tuple[str, str], ServiceRule] = field(default_factory=dict)

    @property
    def mesh(self) -> MeshConfig:
        """The mesh config."""
        return self.snapshot.mesh_config

    @cached_property
    def scope(self) -> Scope:
        """What this class sees."""
        snapshot, one = self.snapshot, self.proxy_class
        key = (
            "scope",
            one.type,
            one.namespace,
            one.labels,
            Same(snapshot.registry.by_host),
            Same(snapshot.by_namespace.get("VirtualService")),
            Same(snapshot.by_namespace.get("Sidecar")),
            Same(snapshot.mesh_config),
        )
        return self.cache.memo(key, lambda: scope_for(snapshot, one))

    def memo(self, key: Hashable, build: Callable[[], T]) -> T:
        """See CompileCache."""
        return self.cache.memo(key, build)

    def rule(self, service: Service) -> ServiceRule:
        """The DestinationRule of a service as this class sees it; the same object while its configs stay."""
        place = (service.host, service.namespace)
        found = self._rules.get(place)
        if found is None:
            one = self.proxy_class
            rules = rules_for(self._rule_index, service.host, service.namespace, one.namespace, one.label_map)
            found = self.cache.memo(("rule", *map(Same, rules)), lambda: merge_rules(rules))
            self._rules[place] = found
        return found

    @cached_property
    def _rule_index(self) -> MeshSnapshot:
        return self.snapshot

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


def packed(type_url: str, name: str, message: Any, diagnostics: tuple[Diagnostic, ...] = ()) -> Compiled:
    """Pack one message."""
    return Compiled(PackedResource.pack(type_url, name, message), diagnostics)
