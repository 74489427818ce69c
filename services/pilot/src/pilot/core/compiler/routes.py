"""Route configurations: one per outbound HTTP port, one per sniffed service, one for the HTTP proxy. Pure.

A route configuration is joined from the bytes of its virtual hosts. Of a class the newest ones are kept, and of them
every virtual host that no change concerns; classes that have the same virtual hosts share one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain
from typing import NamedTuple, cast

from envoy.config.route.v3 import route_pb2
from meshcore.hosts import host_matches, is_wildcard
from meshcore.protocol import Protocol
from meshcore.xds import wire
from meshcore.xds.names import BLACK_HOLE_CLUSTER, HTTP_PROXY_ROUTE, PASSTHROUGH_CLUSTER, service_route_name
from meshcore.xds.origin import Origins
from meshcore.xds.types import ROUTE_TYPE

from pilot.core.compiler.cache import Before, Newest
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.messages import boolean, uint32
from pilot.core.compiler.virtual_hosts import HostPart, catch_all, digest_of, service_host, unknown_hosts
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
    order: tuple[int, ...]
    """Where virtual hosts are, sorted by their names; nothing where they are contested."""
    users: Mapping[str, tuple[int, ...]]
    """By host: where virtual hosts of services are that are what they are by it, besides its own."""
    compiled: Compiled

    @cached_property
    def made_of(self) -> tuple[object, ...]:
        """Who has all of it has this route configuration."""
        return self.places, *self.of_services, *self.others

    def concerned_at(self, hosts: Iterable[str]) -> frozenset[int]:
        """Where virtual hosts of services are that may be others when these hosts are."""
        places, users = self.places.at, self.users
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
    return _joined(work, service_route_name(service.host, port.number), Places(((service, port),)), (part,)).compiled


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
    build_all = partial(_joined, work, name, places, parts, others, ignore_port=not is_proxy, known=known)
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
    return _joined(work, name, Places(((service, port),)), (part,))


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


def _joined(
    work: Compilation,
    name: str,
    places: Places,
    parts: tuple[HostPart, ...],
    others: tuple[HostPart, ...] = (),
    *,
    ignore_port: bool = True,
    known: _Kept | None = None,
) -> _Kept:
    """Joined from the bytes of its virtual hosts; what is as it was in `known` is taken over."""
    every = (*parts, *others)
    step = _step(places, parts, others, known)
    contested = _is_contested(every) if step is None else step.before.contested
    order: tuple[int, ...] = ()
    if contested:
        settled = _settled(every)
        had = tuple(part for part, _ in settled.values())
        pieces = [settled[key][1] for key in sorted(settled)]
        digests = list(map(digest_of, pieces))
    else:
        had, order = every, _order(every) if step is None else step.before.order
        pieces = [every[at].laid_out for at in order]
        digests = [every[at].digest for at in order]
    settings = _settings(ignore_port)
    origins = (None if step is None or contested else step.origins()) or _origins(had) or work.mesh_origins
    users = _users(parts) if step is None or step.uses_others() else step.before.users
    problems = tuple(dict.fromkeys(chain.from_iterable(part.problems for part in every if part.problems)))
    made = packed(
        ROUTE_TYPE,
        name,
        b"".join([wire.text(1, name), *pieces, settings]),
        problems,
        beside=origins,
        told=b"".join([*digests, settings]),
    )
    return _Kept(places, parts, others, contested, order, users, made)


class _Step(NamedTuple):
    """Some virtual hosts of services are others than before; all names and domains are the same."""

    before: _Kept
    pairs: tuple[tuple[HostPart, HostPart], ...]
    """What each of them was, and what it is."""

    def origins(self) -> Origins | None:
        """The objects that made all of them, if there is none more or less: other revisions in their places."""
        if any(old.refs != new.refs for old, new in self.pairs):
            return None
        made = list(self.before.compiled.resource.origins)
        every = chain.from_iterable(zip(old.origins, new.origins, strict=True) for old, new in self.pairs)
        try:
            for was, now in dict.fromkeys(pair for pair in every if pair[0] != pair[1]):
                made[made.index(was)] = now
        except ValueError:
            return None
        return tuple(made)

    def uses_others(self) -> bool:
        """Whether they lead to other hosts."""
        return any(old.uses != new.uses for old, new in self.pairs)


def _step(
    places: Places, parts: tuple[HostPart, ...], others: tuple[HostPart, ...], known: _Kept | None
) -> _Step | None:
    if known is None or places is not known.places or others != known.others:
        return None
    pairs = tuple((old, new) for old, new in zip(known.of_services, parts, strict=True) if old is not new)
    if any((old.name, old.domains) != (new.name, new.domains) for old, new in pairs):
        return None
    return _Step(known, pairs)


def _is_contested(every: tuple[HostPart, ...]) -> bool:
    """Whether some name or domain is asked for twice."""
    domains = set[str]().union(*(part.domains for part in every))
    return len(domains) < sum(len(part.domains) for part in every) or len({one.name for one in every}) < len(every)


def _order(every: tuple[HostPart, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(every)), key=lambda at: every[at].name))


def _origins(parts: Iterable[HostPart]) -> Origins:
    """Each object once: in one snapshot it has one revision."""
    return tuple(dict(chain.from_iterable(part.made_of for part in parts)).values())


def _users(parts: Iterable[HostPart]) -> Mapping[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for at, part in enumerate(parts):
        for host in part.uses:
            found.setdefault(host, []).append(at)
    return {host: tuple(places) for host, places in found.items()}


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
