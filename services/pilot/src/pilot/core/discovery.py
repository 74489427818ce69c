"""Which namespaces count: MeshConfig's `discoverySelectors`. Pure.

Everything in other namespaces is as if it were not there, but for the root namespace, whose config always counts.
"""

from collections.abc import Iterable, Mapping

from meshcore.labels import selects
from meshcore.model.mesh_config import LabelRequirement, LabelSelector, MeshConfig

from pilot.core.config import AnyConfig, Configs, ConfigStep, Source

FRAME_KINDS = frozenset({"Namespace", "ConfigMap"})
"""Kinds that decide which objects of other kinds count; they always do."""
_NAME_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes gives it to every namespace."""


def is_discovered(mesh: MeshConfig, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels counts: any of the selectors is enough, none at all takes everything."""
    if not mesh.discovery_selectors or namespace == mesh.root_namespace:
        return True
    named = {_NAME_LABEL: namespace, **labels}
    return any(_matches(selector, named) for selector in mesh.discovery_selectors)


def discovered(
    mesh: MeshConfig, configs: Configs, hidden: Mapping[Source, AnyConfig], steps: Iterable[ConfigStep], *, again: bool
) -> tuple[list[ConfigStep], Mapping[Source, AnyConfig]]:
    """Of objects that are others now the steps that show, and all that is hidden then. `configs` are those that count
    so far, `hidden` those that do not; `again` when which namespaces count may have changed, so that all are judged."""
    spaces = configs.get("Namespace", {})
    counts: dict[str, bool] = {"": True}
    wanted: dict[Source, AnyConfig | None] = {}
    if again:
        wanted = {(kind, *name): one for kind, named in configs.items() for name, one in named.items()}
        wanted = {source: one for source, one in wanted.items() if source[0] not in FRAME_KINDS}
        wanted |= hidden
    wanted |= dict(steps)
    shown: list[ConfigStep] = []
    left_out = dict(hidden)
    for source, config in wanted.items():
        kind, namespace, name = source
        if namespace not in counts:
            found = spaces.get(("", namespace))
            counts[namespace] = is_discovered(mesh, namespace, found.object.metadata.labels if found else {})
        left_out.pop(source, None)
        if not counts[namespace] and config is not None:
            left_out[source] = config
        after = config if counts[namespace] else None
        if after is not configs.get(kind, {}).get((namespace, name)):
            shown.append((source, after))
    return shown, left_out


def _matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    return selects(selector.match_labels, labels) and all(_holds(item, labels) for item in selector.match_expressions)


def _holds(item: LabelRequirement, labels: Mapping[str, str]) -> bool:
    """A Kubernetes requirement; an operator that nobody knows holds for nothing."""
    match item.operator:
        case "In":
            return item.key in labels and labels[item.key] in item.values
        case "NotIn":
            return labels.get(item.key) not in item.values
        case "Exists":
            return item.key in labels
        case "DoesNotExist":
            return item.key not in labels
        case _:
            return False
