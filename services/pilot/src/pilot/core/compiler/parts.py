"""What a class has of services alone: clusters, assignments, and what gRPC asks for by name. Pure.

Of all services together the newest form is kept, and what did not change of it is taken over: a changed service costs
what it makes, not what the mesh has.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter, is_
from types import MappingProxyType
from typing import Any, NamedTuple

from meshcore.xds.resource import PackedResource, Resources
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE

from pilot.core.compiler.cache import Before, Same
from pilot.core.compiler.clusters import outbound_clusters
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.endpoints import crossing_key, endpoint_resources
from pilot.core.compiler.gateway_clusters import passed_parts, passing_servers
from pilot.core.compiler.grpc_clients import grpc_parts
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import GRPC_GENERATOR, ProxyType
from pilot.core.registry import Endpoint, Service
from pilot.core.visibility.destination_rules import ServiceRule
from pilot.core.visibility.seen import SeenServices

_NO_ENDPOINTS: tuple[Endpoint, ...] = ()
_NONE: frozenset[Any] = frozenset()
"""One for all: an empty set takes 216 bytes, and most services have two."""


class _Traits:
    """All that clusters and assignments depend on beside the service, its rule and its endpoints; equal by value. It is
    a part of the key of each service, so its hash is found once."""

    __slots__ = ("_all", "_hash")

    def __init__(self, *every: Hashable) -> None:
        self._all = every
        self._hash = hash(every)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Traits) and self._all == other._all


class Part(NamedTuple):
    """What one service makes, and what of it is told beside."""

    compiled: tuple[Compiled, ...]
    diagnostics: frozenset[Diagnostic]
    secrets: frozenset[str]


@dataclass(frozen=True, eq=False)
class Parts:
    """What all services of a scope make: one part for each, with what it was made of."""

    services: SeenServices
    rules: tuple[ServiceRule, ...]
    endpoints: tuple[tuple[Endpoint, ...], ...]
    parts: tuple[Part, ...]
    named: Mapping[str, Resources]
    """By type, then by name, sorted: classes that have nothing else of a type share these."""

    @cached_property
    def diagnostics(self) -> frozenset[Diagnostic]:
        """What of the config could not be honoured."""
        return frozenset[Diagnostic]().union(*map(attrgetter("diagnostics"), self.parts))

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What is asked for beside."""
        return frozenset[str]().union(*map(attrgetter("secrets"), self.parts))


@dataclass(frozen=True, eq=False)
class Derived(Parts):
    """Parts with clusters that were made into others."""

    plain: Parts
    by: object

    @property
    def made_of(self) -> tuple[object, ...]:
        """Who has the same shares it."""
        return self.plain, self.by


def service_parts(work: Compilation, service: Service) -> tuple[Compiled, ...]:
    """All resources of a service in scope that its endpoints are looked at for, a headless one's listeners apart, from
    no address of the class's own."""
    one = work.proxy_class
    if one.generator == GRPC_GENERATOR:
        return tuple(grpc_parts(work, service))
    passed = passed_parts(work, passing_servers(work), service) if one.type is ProxyType.ROUTER else ()
    return (*_part(work, _traits(work), service, work.rule(service), work.endpoints(service)).compiled, *passed)


def what_counts(work: Compilation, service: Service) -> Hashable | None:
    """All beside the endpoints of a service that decides what `service_parts` gives, whatever the class; None where
    that is more than can be told."""
    one = work.proxy_class
    if one.generator == GRPC_GENERATOR or one.type is ProxyType.ROUTER:
        return None
    return _traits(work), Same(service), Same(work.rule(service))


def all_parts(work: Compilation) -> Parts:
    """The clusters of all services in scope, from no address of the class's own, and their assignments; classes that
    have the same share them."""
    services, registered = work.scope.services, work.snapshot.registry.endpoints
    traits = _traits(work)

    def find_rules(_: Before) -> tuple[ServiceRule, ...]:
        found = tuple(map(work.rules.get, services.keys))
        rules = tuple(one or work.rule(service) for one, service in zip(found, services, strict=True))
        return work.newest_of_all("rules of services", rules, lambda _: rules)

    def build(_: Before) -> Parts:
        rules = work.newest("rules of services", (services, work.rules), find_rules)
        ends = work.newest_of_all("endpoints of services", (services, registered), partial(_endpoints, work))
        what = partial(_all_parts, work, traits, rules, ends)
        return work.newest_of_all(("parts", _own_traits(work)), (services, rules, ends), what, traits)

    return work.newest("parts", (services, work.rules, registered), build, traits)


def _endpoints(work: Compilation, _: Before) -> tuple[tuple[Endpoint, ...], ...]:
    registered = work.snapshot.registry.endpoints
    return tuple(registered.get(key, _NO_ENDPOINTS) for key in work.scope.services.keys)


def _all_parts(
    work: Compilation,
    traits: _Traits,
    rules: tuple[ServiceRule, ...],
    endpoints: tuple[tuple[Endpoint, ...], ...],
    before: Before,
) -> Parts:
    services = work.scope.services
    old: Parts | None = None if before is None else before.value
    build = partial(_part, work, traits)
    if old is None:
        parts = tuple(map(build, services, rules, endpoints))
        return Parts(services, rules, endpoints, parts, _named_by_type(parts))
    kept = dict(zip(map(id, old.services), zip(old.rules, old.endpoints, old.parts, strict=True), strict=True))
    made: list[Part] = []

    def part(service: Service, rule: ServiceRule, ends: tuple[Endpoint, ...]) -> Part:
        found = kept.get(id(service))
        if found is not None and found[0] is rule and found[1] is ends:
            return found[2]
        made.append(build(service, rule, ends))
        return made[-1]

    parts = tuple(map(part, services, rules, endpoints))
    return Parts(services, rules, endpoints, parts, _renamed(old, parts, made))


def derived(
    work: Compilation, what: Hashable, plain: Parts, by: object, change: Callable[[Service, Compiled], Compiled | None]
) -> Derived:
    """The same with each cluster changed (None: left out), once for all classes that have it of the same; what no
    change concerns is taken over. `what` and `by`, the latter compared by identity, stand for all that `change` depends
    on."""

    def build(before: Before) -> Derived:
        old: Derived | None = before.value if before is not None and before.value.by is by else None
        return _derived(plain, by, change, old)

    return work.newest_alike(what, (plain, by), build)


def _derived(
    plain: Parts, by: object, change: Callable[[Service, Compiled], Compiled | None], old: Derived | None
) -> Derived:
    kept = {} if old is None else dict(zip(map(id, old.plain.parts), old.parts, strict=True))
    made: list[Part] = []

    def part(service: Service, one: Part) -> Part:
        found = kept.get(id(one))
        if found is None:
            found = _changed(one, partial(change, service))
            made.append(found)
        return found

    parts = tuple(map(part, plain.services, plain.parts))
    named = _named_by_type(parts) if old is None else _renamed(old, parts, made)
    # assignments are what they were: one mapping with all who have the same
    every = {**named, ENDPOINT_TYPE: plain.named[ENDPOINT_TYPE]}
    return Derived(plain.services, plain.rules, plain.endpoints, parts, every, plain, by)


def _changed(plain: Part, change: Callable[[Compiled], Compiled | None]) -> Part:
    all_of_it = (change(item) if item.resource.type_url == CLUSTER_TYPE else item for item in plain.compiled)
    compiled = tuple(item for item in all_of_it if item is not None)
    unchanged = len(compiled) == len(plain.compiled) and all(map(is_, compiled, plain.compiled))
    return plain if unchanged else _part_of(compiled)


def _named_by_type(parts: Iterable[Part]) -> Mapping[str, Resources]:
    """All resources of these parts, by type and name, sorted."""
    return {kind: _sorted(named) for kind, named in _named(parts).items()}


def _named(parts: Iterable[Part]) -> dict[str, dict[str, PackedResource]]:
    found: dict[str, dict[str, PackedResource]] = {CLUSTER_TYPE: {}, ENDPOINT_TYPE: {}}
    for part in parts:
        for item in part.compiled:
            found[item.resource.type_url].setdefault(item.resource.name, item.resource)
    return found


def _renamed(old: Parts, parts: tuple[Part, ...], made: Sequence[Part]) -> Mapping[str, Resources]:
    """What `_named_by_type` gives, from the parts before and those of the new ones that were `made` since. Names belong
    to one service: what is not replaced stays, and a type of which nothing changes stays as it is."""
    now = set(map(id, parts))
    gone = [part for part in old.parts if id(part) not in now]
    if not gone and not made:
        return old.named
    before, after = _named(gone), _named(made)
    found: dict[str, Resources] = {}
    for type_url, named in old.named.items():
        lost = before[type_url].keys() - after[type_url].keys()
        same = not lost and all(named.get(name) is item for name, item in after[type_url].items())
        if same:
            found[type_url] = named
            continue
        kept = {name: item for name, item in named.items() if name not in lost} if lost else named
        found[type_url] = _sorted({**kept, **after[type_url]})
    return found


def _sorted(named: Mapping[str, PackedResource]) -> Resources:
    return MappingProxyType({name: named[name] for name in sorted(named)})


def _part(
    work: Compilation, traits: _Traits, service: Service, rule: ServiceRule, endpoints: tuple[Endpoint, ...]
) -> Part:
    """One look-up while nothing about the service changes."""
    return work.memo(("service", traits, Same(service), Same(rule), Same(endpoints)), partial(_made, work, service))


def _made(work: Compilation, service: Service) -> Part:
    return _part_of((*outbound_clusters(work, service), *endpoint_resources(work, service)))


def _part_of(compiled: tuple[Compiled, ...]) -> Part:
    """Of one service."""
    problems = frozenset(problem for item in compiled for problem in item.diagnostics)
    secrets = frozenset(name for item in compiled for name in item.secrets)
    return Part(compiled, problems or _NONE, secrets or _NONE)


def _traits(work: Compilation) -> _Traits:
    """One object for all classes that have the same, so that keys with it are compared at once."""
    snapshot = work.snapshot
    inputs = (work.mesh, snapshot.mtls_policies, snapshot.networks)

    def build(_: Before) -> _Traits:
        made = _Traits(*_own_traits(work), Same(work.mesh), Same(snapshot.mtls_policies), *crossing_key(work))
        return work.memo(("traits", made), lambda: made)

    return work.once("traits", lambda: work.newest("traits", inputs, build, snapshot.selection.place_keys))


def _own_traits(work: Compilation) -> tuple[Hashable, ...]:
    """What of them is the class's, whatever the mesh is."""
    one = work.proxy_class
    places = tuple(sorted(work.place_labels.items()))
    return one.type, one.interception, work.families, one.locality, one.network, places
