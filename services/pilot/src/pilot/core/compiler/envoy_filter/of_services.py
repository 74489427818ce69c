"""What EnvoyFilters make of the clusters of all services, once for all classes that have the same of both. Pure."""

from functools import partial

from meshcore.model.envoy_filter import ApplyTo

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.envoy_filter.clusters import patched_cluster
from pilot.core.compiler.envoy_filter.patches import Patches, patches_of
from pilot.core.compiler.parts import Parts, derived
from pilot.core.registry import Service


def patched_parts(work: Compilation, parts: Parts) -> Parts:
    """The parts as the EnvoyFilters that count for this class make them; what no change concerns is taken over."""
    patches = patches_of(work)
    if ApplyTo.CLUSTER not in patches.by_target:
        return parts
    return derived(work, "patched parts", parts, patches, partial(_patched, patches))


def _patched(patches: Patches, _: Service, item: Compiled) -> Compiled | None:
    return patched_cluster(item, patches).compiled
