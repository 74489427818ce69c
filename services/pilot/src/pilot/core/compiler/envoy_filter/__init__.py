"""EnvoyFilter: patches of compiled resources (xds.md §15). A class without patches pays nothing but a look-up.

Patches act in the order of `patches.py`. One that cannot be applied, or after which Envoy would refuse the resource,
is left out for that resource alone and leaves a diagnostic; the others act. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from meshcore.model.envoy_filter import ApplyTo
from meshcore.xds.resource import Resources
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.envoy_filter.additions import added, refused
from pilot.core.compiler.envoy_filter.addresses import Turn, on_own_addresses
from pilot.core.compiler.envoy_filter.clusters import patched_cluster
from pilot.core.compiler.envoy_filter.listeners import patched_listener
from pilot.core.compiler.envoy_filter.of_services import patched_parts
from pilot.core.compiler.envoy_filter.patches import Patches, patches_of
from pilot.core.compiler.envoy_filter.routes import patched_routes
from pilot.core.compiler.envoy_filter.work import Outcome
from pilot.core.compiler.stages import Stage
from pilot.core.diagnostics import Diagnostic

__all__ = ["Patched", "patched", "patched_parts"]

_PATCHERS: dict[str, Callable[[Compiled, Patches], Outcome]] = {
    CLUSTER_TYPE: patched_cluster,
    LISTENER_TYPE: patched_listener,
    ROUTE_TYPE: patched_routes,
}
_CONCERNED = {
    CLUSTER_TYPE: (ApplyTo.CLUSTER,),
    LISTENER_TYPE: (
        ApplyTo.LISTENER,
        ApplyTo.LISTENER_FILTER,
        ApplyTo.FILTER_CHAIN,
        ApplyTo.NETWORK_FILTER,
        ApplyTo.HTTP_FILTER,
        ApplyTo.ROUTE_CONFIGURATION,
        ApplyTo.VIRTUAL_HOST,
        ApplyTo.HTTP_ROUTE,
    ),
    ROUTE_TYPE: (ApplyTo.ROUTE_CONFIGURATION, ApplyTo.VIRTUAL_HOST, ApplyTo.HTTP_ROUTE),
}


class Patched(NamedTuple):
    """All resources of a class, and what of the patches could not be honoured."""

    compiled: Iterable[Compiled]
    diagnostics: tuple[Diagnostic, ...] = ()


def patched(
    work: Compilation, compiled: Iterable[Compiled], beside: Mapping[str, Resources] = MappingProxyType({})
) -> Patched:
    """The resources as the EnvoyFilters that count for this class make them, with those that they add; `beside` are
    others that the class has, whose names are taken."""
    patches = patches_of(work)
    if not patches.by_target:
        return Patched(compiled, patches.diagnostics)
    turns = tuple(on_own_addresses(work, patches, _turns(work, patches, compiled, beside)))
    problems = tuple(turn.problem for turn in turns if turn.problem is not None)
    items = tuple(turn.after for turn in turns if turn.after is not None)
    return Patched(items, (*patches.diagnostics, *refused(work, patches), *problems))


def _turns(
    work: Compilation, patches: Patches, compiled: Iterable[Compiled], beside: Mapping[str, Resources]
) -> Iterator[Turn]:
    names: set[tuple[str, str]] = set()
    stage = Stage[Outcome](work, "patched", Same(patches))
    for item in compiled:
        resource = item.resource
        names.add((resource.type_url, resource.name))
        targets = _CONCERNED.get(resource.type_url, ())
        if not any(target in patches.by_target for target in targets):
            yield Turn(item, item)
            continue
        outcome = stage.of(item, partial(_PATCHERS[resource.type_url], item, patches))
        yield Turn(item, outcome.compiled)
    for patch, item in added(work, patches):
        place = (item.resource.type_url, item.resource.name)
        if place in names or place[1] in beside.get(place[0], ()):
            text = f"there is a resource of the name {item.resource.name} already"
            yield Turn(None, None, patch.problem("the proxy", text))
        else:
            names.add(place)
            yield Turn(None, item)
