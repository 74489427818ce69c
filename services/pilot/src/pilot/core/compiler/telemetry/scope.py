"""Which Telemetry objects count for a class, from the mesh down to the workload, and how blocks of them merge. Pure."""

from dataclasses import dataclass
from typing import Any

from meshcore.model import Telemetry
from meshcore.model.extension_provider import ExtensionProvider
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.telemetry import AccessLogging, Metrics, ModeMatch, Tracing, WorkloadMode

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.listener_sides import Side
from pilot.core.config import Config
from pilot.core.policy_target import has_target, is_target

ENVOY, PROMETHEUS = "envoy", "prometheus"
"""Providers that are there without being defined: a file log to standard output, and metrics."""
_MODES = {WorkloadMode.CLIENT: Side.CLIENT, WorkloadMode.SERVER: Side.SERVER}


@dataclass(frozen=True, eq=False)
class Scope:
    """The Telemetry of a class: the root namespace's, the namespace's, the workload's; the last word is the last's."""

    configs: tuple[Config[Telemetry], ...]
    mesh: MeshConfig

    def provider(self, name: str) -> ExtensionProvider | None:
        """A provider of the mesh config, or one that is always there."""
        found = next((item for item in self.mesh.extension_providers if item.name == name), None)
        return found or (ExtensionProvider(name=name) if name in (ENVOY, PROMETHEUS) else None)

    @property
    def logging(self) -> tuple[tuple[AccessLogging, ...], ...]:
        """By level."""
        return tuple(spec for config in self.configs if (spec := config.object.spec.access_logging))

    @property
    def tracing(self) -> tuple[Tracing, ...]:
        """In order; Istio reads the first block for a side of each level."""
        return tuple(block for config in self.configs for block in config.object.spec.tracing)

    @property
    def metrics(self) -> tuple[Metrics, ...]:
        """In order."""
        return tuple(block for config in self.configs for block in config.object.spec.metrics)


def telemetry_scope(work: Compilation) -> Scope:
    """The same object while neither its Telemetry nor the mesh config changes."""
    one, mesh = work.proxy_class, work.mesh
    spaces = work.snapshot.by_namespace.get("Telemetry", {})
    found = tuple(spaces.get(namespace, ()) for namespace in dict.fromkeys((mesh.root_namespace, one.namespace)))
    key = ("telemetry", one.type, one.namespace, one.labels, Same(mesh), *map(Same, found))
    return work.memo(key, lambda: Scope(tuple(_levels(work, found)), mesh))


def _levels(work: Compilation, found: tuple[tuple[Config[Any], ...], ...]) -> list[Config[Any]]:
    """One of each level, the oldest."""
    one, root = work.proxy_class, work.mesh.root_namespace
    counted = [config for configs in found for config in configs if is_target(config.object, one, root)]
    general = [config for config in counted if not has_target(config.object)]
    levels = (
        [config for config in general if config.namespace == root],
        [config for config in general if config.namespace != root],
        [config for config in counted if has_target(config.object) and config.namespace == one.namespace],
    )
    return [level[0] for level in levels if level]


def is_meant(match: ModeMatch | None, side: Side) -> bool:
    """Whether a block is for a side of the proxy."""
    return match is None or _MODES.get(match.mode, side) is side
