"""Patches of route configurations: whole ones, virtual hosts, and routes. Pure.

Merging and removing come first, then what is added (Istio's order), so that an added route is not merged into.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from envoy.config.route.v3 import route_pb2
from meshcore.errors import MeshError
from meshcore.model.envoy_filter import (
    ApplyTo,
    PatchContext,
    PatchOperation,
    RouteAction,
    RouteConfigurationMatch,
    RouteMatch,
    VirtualHostMatch,
)
from meshcore.xds.names import parse_cluster_name
from meshcore.xds.refused_values import is_address

from pilot.core.compiler.context import Compiled
from pilot.core.compiler.envoy_filter.acceptance import routes_fault
from pilot.core.compiler.envoy_filter.patches import Patches, PatchOf
from pilot.core.compiler.envoy_filter.work import Outcome, Patching, merge_named, merge_whole, position, refusal

_ACTIONS = {
    RouteAction.ROUTE: "route",
    RouteAction.REDIRECT: "redirect",
    RouteAction.DIRECT_RESPONSE: "direct_response",
}


def patched_routes(item: Compiled, patches: Patches) -> Outcome:
    """A route configuration that is sent by itself: of a sidecar's outbound side, or of a gateway."""
    routes = route_pb2.RouteConfiguration.FromString(item.resource.body)
    patching = Patching(f"route configuration {routes.name}")
    patch_route_configuration(patching, routes, patches, PatchContext.SIDECAR_OUTBOUND)
    return patching.finished(item, routes)


def patch_route_configuration(
    patching: Patching, routes: route_pb2.RouteConfiguration, patches: Patches, context: PatchContext
) -> None:
    """Patch one in place; `context` is a sidecar's side (a gateway's patches are of a class of their own)."""
    name = routes.name
    where = _Where.of(name)

    def of(target: ApplyTo) -> Iterator[PatchOf]:
        for patch in patches.of(target, context):
            if where.fits(patch.match.route_configuration):
                yield patch

    for patch in of(ApplyTo.ROUTE_CONFIGURATION):
        if patch.merges:
            patching.attempt(patch, routes, merge_named, routes_fault)
    _virtual_hosts(patching, routes, list(of(ApplyTo.VIRTUAL_HOST)))
    for host in routes.virtual_hosts:
        found = [patch for patch in of(ApplyTo.HTTP_ROUTE) if _is_host(patch, host)]
        _change_routes(patching, host, found)


class _Where:
    """What the name of a route configuration says: its port, and for a gateway the server's."""

    def __init__(self, name: str, port: int, port_name: str = "", gateway: str = "") -> None:
        self._name, self._port, self._port_name, self._gateway = name, port, port_name, gateway

    @classmethod
    def of(cls, name: str) -> "_Where":
        """Istio's names: `80`, `host:80`, `inbound|80||`, `http.80`, `https.443.<port>.<gateway>.<namespace>`; the last
        two may end with the address that is bound."""
        parts = name.split(".")
        if parts[0] in ("http", "https") and len(parts) > 1 and parts[1].isdigit():
            if parts[0] == "http" or len(parts) < 5:
                return cls(name, int(parts[1]))
            *gateway, namespace = _unbound(parts[3:])
            return cls(name, int(parts[1]), parts[2], f"{namespace}/{'.'.join(gateway)}")
        try:
            return cls(name, parse_cluster_name(name).port)
        except MeshError:
            number = name.rpartition(":")[2]
            return cls(name, int(number) if number.isdigit() else 0)

    def fits(self, match: RouteConfigurationMatch | None) -> bool:
        """Whether a match means this route configuration."""
        if match is None:
            return True
        return (
            match.name in ("", self._name)
            and match.port_number in (0, self._port)
            and match.port_name in ("", self._port_name)
            and match.gateway in ("", self._gateway)
        )


def _unbound(parts: list[str]) -> list[str]:
    """A Gateway's name, which may have dots, and its namespace: what is left without the address at the end."""
    if ":" in parts[-1]:
        return parts[:-1]
    return parts[:-4] if len(parts) >= 6 and is_address(".".join(parts[-4:])) else parts


def _virtual_hosts(patching: Patching, routes: Any, patches: list[PatchOf]) -> None:
    _change_hosts(patching, routes, patches)
    for patch in patches:
        if patch.operation is PatchOperation.ADD:
            patching.attempt(patch, routes, _append_host, routes_fault)


def _change_hosts(patching: Patching, routes: Any, patches: list[PatchOf]) -> None:
    """Merge and remove virtual hosts."""

    def twin(host: Any, trial: Any) -> str:
        hosts = [trial if other is host else other for other in routes.virtual_hosts]
        return routes_fault(route_pb2.RouteConfiguration(virtual_hosts=hosts))

    for patch in patches:
        if patch.operation is PatchOperation.REMOVE:
            _remove(patching, patch, routes.virtual_hosts, partial(_is_host, patch))
        elif patch.merges:
            for host in routes.virtual_hosts:
                if _is_host(patch, host):
                    patching.attempt(patch, host, merge_named, partial(twin, host))


def _remove(patching: Patching, patch: PatchOf, items: Any, means: Callable[[Any], bool]) -> None:
    kept = [item for item in items if not means(item)]
    if len(kept) < len(items):
        del items[:]
        items.extend(kept)
        patching.applied(patch)


def _change_routes(patching: Patching, host: Any, patches: list[PatchOf]) -> None:
    for patch in patches:
        if patch.operation is PatchOperation.REMOVE:
            _remove(patching, patch, host.routes, partial(_is_route, patch))
        elif patch.merges:
            for route in host.routes:
                if _is_route(patch, route):
                    patching.attempt(patch, route, merge_whole)
    for patch in patches:
        if patch.operation is PatchOperation.REMOVE or patch.merges:
            continue
        index = _index(patch, host.routes)
        if index is None:
            continue
        if fault := refusal(patch.value):
            patching.problems.append(patch.problem(patching.name, fault))
            continue
        host.routes.insert(index, patch.value)
        patching.applied(patch)


def _index(patch: PatchOf, routes: Any) -> int | None:
    """Where an added route goes; None when the route that it is to stand beside is not there."""
    match patch.operation:
        case PatchOperation.INSERT_FIRST:
            return 0
        case PatchOperation.INSERT_BEFORE:
            return position(routes, lambda route: _is_route(patch, route)) if _wanted_route(patch) else 0
        case PatchOperation.INSERT_AFTER if _wanted_route(patch):
            found = position(routes, lambda route: _is_route(patch, route))
            return None if found is None else found + 1
        case _:
            return len(routes)


def _is_host(patch: PatchOf, host: Any) -> bool:
    wanted = _wanted_host(patch)
    if wanted is None:
        return True
    return wanted.name in ("", host.name) and (not wanted.domain_name or wanted.domain_name in host.domains)


def _is_route(patch: PatchOf, route: Any) -> bool:
    wanted = _wanted_route(patch)
    if wanted is None:
        return True
    action = _ACTIONS.get(wanted.action)
    return wanted.name in ("", route.name) and (action is None or route.WhichOneof("action") == action)


def _wanted_host(patch: PatchOf) -> VirtualHostMatch | None:
    match = patch.match.route_configuration
    return match.vhost if match is not None else None


def _wanted_route(patch: PatchOf) -> RouteMatch | None:
    host = _wanted_host(patch)
    return host.route if host is not None else None


def _append_host(routes: Any, patch: PatchOf) -> None:
    routes.virtual_hosts.append(patch.value)
