"""Which namespaces count: MeshConfig's `discoverySelectors`. Pure.

Everything in other namespaces is as if it were not there, but for the root namespace, whose config always counts.
"""

from collections.abc import Mapping

from meshcore.labels import selects
from meshcore.model.mesh_config import LabelRequirement, LabelSelector, MeshConfig

_NAME_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes gives it to every namespace."""


def is_discovered(mesh: MeshConfig, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels counts: any of the selectors is enough, none at all takes everything."""
    if not mesh.discovery_selectors or namespace == mesh.root_namespace:
        return True
    named = {_NAME_LABEL: namespace, **labels}
    return any(_matches(selector, named) for selector in mesh.discovery_selectors)


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
