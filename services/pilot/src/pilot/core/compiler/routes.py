"""Route configurations: one per outbound HTTP port, one per sniffed service, one for the HTTP proxy. Pure.

A route configuration is joined from the bytes of its virtual hosts. Of a class the newest ones are kept, and of them
every virtual host that no change concerns; classes that have the same virtual hosts share one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain
from typing import cast

from envoy.config.route.v3 import route_pb2
from meshcore.hosts import host_matches, is_wildcard
from meshcore.protocol import Protocol
from meshcore.xds import wire
from meshcore.xds.names import BLACK_HOLE_CLUSTER, HTTP_PROXY_ROUTE, PASSTHROUGH_CLUSTER, service_route_name
from meshcore.xds.types import ROUTE_TYPE

from pilot.core.compiler.cache import Before, Newest
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.messages import boolean, uint32
from pilot.core.compiler.virtual_hosts import HostPart, catch_all, service_host, unknown_hosts
from pilot.core.proxy import Interception
from pilot.core.registry import Port, Resolution, Service
from pilot.core.visibility.scoping import Scope, route_hosts
from pilot.core.visibility.seen import Routes, changed_routes

MAX_DIRECT_RESPONSE = 1 << 20
_MANY = 100
"""Hosts that may be concerned by a change before all are looked at again."""


class Places(tuple[tuple[Service, Port], ...]):
    """The ports of services that a route configuration is for, in the order of services."""

    @cached_property
    def at(self) -> Mapping[str, tuple[int, ...]]:
        """By host of the service: where it is."""
        found: dict[str, list[int]] = {}
        for at, (service, _) in enumerate(self):
            found.setdefault(service.host, []).append(at)
        return {host: tuple(places) for host, places in found.items()}


@dataclass(frozen=True, eq=False)
class _Kept:
    """A route configuration with what it is made of."""

    places: Places
    of_services: tuple[HostPart, ...]
    """One for each place."""
    others: tuple[HostPart, ...]
    """Hosts that no service has, and what becomes of the rest."""
    contested: bool
    """Whether some virtual host does not have all that it asks for."""
    compiled: Compiled

    @cached_property
    def made_of(self) -> tuple[object, ...]:
        """Who has all of it has this route configuration."""
        return self.places, *self.of_services, *self.others

    @cached_property
    def _users(self) -> Mapping[str, tuple[int, ...]]:
        """By host: where virtual hosts of services are that are what they are by it, besides its own."""
        found: dict[str, list[int]] = {}
        for at, part in enumerate(self.of_services):
            for host in part.uses:
                found.setdefault(host, []).append(at)
        return {host: tuple(places) for host, places in found.items()}

    def concerned_at(self, hosts: Iterable[str]) -> frozenset[int]:
        """Where virtual hosts of services are that may be others when these hosts are."""
        places, users = self.places.at, self._users
        return frozenset(at for host in hosts for at in (*places.get(host, ()), *users.get(host, ())))


def route_resources(work: Compilation, names: Iterable[str]) -> Iterator[Compiled]:
    """The route configurations of these names; see `listeners_outbound.route_names`."""
    scope, one = work.scope, work.proxy_class
    ports = tuple((listener.port.number if listener.port else 0, hosts) for listener, hosts in scope.ports)
    traits = (one.domain, one.search, one.interception is Interception.NONE, scope.unknown, ports)
    wanted = sorted(set(names))
    spaces = work.rule_spaces
    kept = work.newest("routes", (spaces, work.mesh, scope), partial(_all, work, wanted), traits)
    for name in wanted:
        if name not in kept:
            kept[name] = _made(work, name, None, None)
        if (found := kept[name]) is not None:
            yield found.compiled


def service_routes(work: Compilation, service: Service, port: Port) -> Compiled:
    """The route configuration of one sniffed port on the service's own address."""
    part = service_host(work, service, port, proxy=False, only=True)
    name = service_route_name(service.host, port.number)
    return _joined(work, name, (part,), ignore_port=True, contested=False)


def _all(work: Compilation, names: Iterable[str], before: Before) -> dict[str, _Kept | None]:
    concerned = None if before is None else _concerned(work, before)
    known: dict[str, _Kept | None] = {} if before is None or concerned is None else before.value
    return {name: _made(work, name, known.get(name), concerned) for name in names}


def _concerned(work: Compilation, before: Newest) -> frozenset[str] | None:
    """The hosts of services that may have other virtual hosts than before; None when it is simpler to look at all."""
    then, now = cast(Scope, before.inputs[2]), work.scope
    rules = work.changed_rules(before)
    if rules is None or then.services.aliases or now.services.aliases:
        return None
    patterns = set(rules)
    found: set[str] = set()
    if then.services is not now.services:
        both = (then.services, now.services)
        found |= work.newest_of_all("changed services", both, lambda _: _changed_services(*both))
    for config in _changed_routes(work, then, now):
        patterns.update(route_hosts(config, work.proxy_class.domain))
    for pattern in patterns:
        if is_wildcard(pattern):
            found.update(host for host in now.services.by_host if host_matches(pattern, host))
        else:
            found.add(pattern)
    return frozenset(found) if len(found) <= _MANY else None


def _changed_services(then: Iterable[Service], now: Iterable[Service]) -> frozenset[str]:
    """The hosts of those that one of the two has and the other has not."""
    old, new = set(map(id, then)), set(map(id, now))
    return frozenset(service.host for service in (*then, *now) if (id(service) in old) is not (id(service) in new))


def _changed_routes(work: Compilation, then: Scope, now: Scope) -> Routes:
    """The VirtualServices that are others; of what everybody sees it is looked up once, whoever has others ahead."""
    old, new = then.behind, now.behind
    if old is None or new is None:
        return changed_routes(then.virtual_services, now.virtual_services)
    public = work.newest_of_all("changed routes", (old, new), lambda _: changed_routes(old.public, new.public))
    return (*public, *changed_routes(then.ahead, now.ahead))


def _made(work: Compilation, name: str, known: _Kept | None, concerned: frozenset[str] | None) -> _Kept | None:
    is_proxy = name == HTTP_PROXY_ROUTE or name.startswith("unix://")
    number = 80 if is_proxy else int(name) if name.isdigit() else 0
    if not number:
        return _of_one_service(work, name, known, concerned)
    places = _all_places(work) if is_proxy else _places_on(work, number)
    parts = _parts(work, number, places, known, concerned, partial(service_host, work, proxy=is_proxy))
    others = (*unknown_hosts(work, number, parts, proxy=is_proxy), catch_all(_unknown(work)))
    if known is not None and parts is known.of_services and others == known.others:
        return known

    def build_all() -> _Kept:
        contested = _is_contested(parts, others, known)
        made = _joined(work, name, (*parts, *others), ignore_port=not is_proxy, contested=contested)
        return _Kept(places, parts, others, contested, made)

    return work.alike(("routes", name, work.mesh_origins), (places, *parts, *others), build_all)


def _parts(
    work: Compilation,
    number: int,
    places: Places,
    known: _Kept | None,
    concerned: frozenset[str] | None,
    build: Callable[[Service, Port], HostPart],
) -> tuple[HostPart, ...]:
    """The virtual hosts of services; those that a change concerns are looked for anew."""
    if known is None or concerned is None:
        return tuple(build(service, port) for service, port in places)
    dirty = known.concerned_at(concerned)
    if places is not known.places:
        both = (known.places, places)
        origins = work.newest_of_all(("moved places", number), both, lambda _: _moved(*both))
        kept = known.of_services
        return tuple(
            build(*place) if at is None or at in dirty else kept[at] for place, at in zip(places, origins, strict=True)
        )
    if not dirty:
        return known.of_services
    parts = list(known.of_services)
    for at in dirty:
        parts[at] = build(*places[at])
    return tuple(parts)


def _moved(before: Places, after: Places) -> tuple[int | None, ...]:
    """For each place where it was before."""
    old = {(id(service), port.number): at for at, (service, port) in enumerate(before)}
    return tuple(old.get((id(service), port.number)) for service, port in after)


def _of_one_service(
    work: Compilation, name: str, known: _Kept | None, concerned: frozenset[str] | None
) -> _Kept | None:
    host, _, number = name.rpartition(":")
    service = work.scope.by_host[host]
    port = service.port(int(number))
    if port is None:
        return None
    same = known is not None and known.places[0][0] is service
    if known is not None and same and concerned is not None and not known.concerned_at(concerned):
        return known
    part = service_host(work, service, port, proxy=False, only=True)
    made = _joined(work, name, (part,), ignore_port=True, contested=False)
    return _Kept(Places(((service, port),)), (part,), (), False, made)


def _all_places(work: Compilation) -> Places:
    """The HTTP proxy has every HTTP port of every service, told apart by the host's port."""
    services = work.scope.services

    def build(before: Before) -> Places:
        every = ((one, port) for one in services for port in one.ports)
        return _kept(before, (place for place in every if _is_routed(place[1]) and not _is_alias(place[0])))

    return work.newest_of_all("places", (services,), build)


def _places_on(work: Compilation, number: int) -> Places:
    """A captured port has the services with HTTP there, or those alone that a Sidecar imports on it."""
    services, imported = work.scope.services, work.scope.hosts_on(number)

    def build(before: Before) -> Places:
        every = services.on_port.get(number, ())
        of_port = (one for one in every if (_is_routed(one[1]) if imported is None else one[0].host in imported))
        return _kept(before, (place for place in of_port if not _is_alias(place[0])))

    what = ("places", number)
    if imported is None:
        return work.newest_of_all(what, (services,), build)
    return work.newest(what, (services,), build, imported)


def _kept(before: Before, places: Iterable[tuple[Service, Port]]) -> Places:
    """The places of before, where they are the same."""
    made = Places(places)
    old: Places | None = None if before is None else before.value
    same = old is not None and len(old) == len(made)
    return old if old and same and all(a is b for (a, _), (b, _) in zip(old, made, strict=True)) else made


def _is_routed(port: Port) -> bool:
    return port.protocol.is_http or port.protocol is Protocol.AUTO


def _is_alias(service: Service) -> bool:
    return service.resolution is Resolution.ALIAS


def _unknown(work: Compilation) -> str:
    unknown = work.scope.unknown
    uncaptured = work.proxy_class.interception is Interception.NONE
    # nothing was dialled that could be passed on to
    return BLACK_HOLE_CLUSTER if uncaptured and unknown == PASSTHROUGH_CLUSTER else unknown


def _is_contested(parts: tuple[HostPart, ...], others: tuple[HostPart, ...], known: _Kept | None) -> bool:
    """Whether some name or domain is asked for twice."""
    if known is not None and len(parts) == len(known.of_services) and others == known.others:
        pairs = zip(parts, known.of_services, strict=True)
        if all(new is old or (new.name, new.domains) == (old.name, old.domains) for new, old in pairs):
            return known.contested
    every = (*parts, *others)
    domains = set[str]().union(*(part.domains for part in every))
    return len(domains) < sum(len(part.domains) for part in every) or len({one.name for one in every}) < len(every)


def _joined(
    work: Compilation, name: str, parts: tuple[HostPart, ...], *, ignore_port: bool, contested: bool
) -> Compiled:
    kept = _settled(parts) if contested else {part.name: (part, part.laid_out) for part in parts}
    joined = b"".join([kept[key][1] for key in sorted(kept)])
    made = wire.text(1, name) + joined + _settings(ignore_port)
    problems = tuple(dict.fromkeys(chain.from_iterable(part.problems for part in parts if part.problems)))
    # Each object once: in one snapshot it has one revision.
    origins = tuple(dict(chain.from_iterable(part.made_of for part, _ in kept.values())).values()) or work.mesh_origins
    return packed(ROUTE_TYPE, name, made, problems, beside=origins)


def _settled(parts: tuple[HostPart, ...]) -> dict[str, tuple[HostPart, bytes]]:
    """The first of a name wins, and the first to ask for a domain gets it."""
    taken: set[str] = set()
    named: dict[str, tuple[HostPart, bytes]] = {}
    for part in parts:
        free = [domain for domain in part.domains if domain not in taken]
        if part.name not in named and free:
            taken.update(free)
            named[part.name] = part, part.laid_out_with(free)
    return named


@cache
def _settings(ignore_port: bool) -> bytes:
    made: bytes = route_pb2.RouteConfiguration(
        validate_clusters=boolean(False),
        max_direct_response_body_size_bytes=uint32(MAX_DIRECT_RESPONSE),
        ignore_port_in_host_matching=ignore_port,
    ).SerializeToString(deterministic=True)
    return made


def unknown_routes(unknown: str) -> route_pb2.RouteConfiguration:
    """The routes of requests that no captured port is for."""
    rest = catch_all(unknown)
    return route_pb2.RouteConfiguration.FromString(wire.text(1, rest.name) + rest.laid_out + _settings(True))
