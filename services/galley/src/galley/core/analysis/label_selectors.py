"""Kubernetes' LabelSelector documents (`matchLabels`, `matchExpressions`), read tolerantly."""

from collections.abc import Mapping
from typing import Any

from meshcore.labels import selects

from galley.core.analysis.reading import mappings, string_map, text, texts


def selector_matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether labels are selected; no selector selects everything, one with an unknown operator nothing."""
    if selector is None:
        return True
    if not selects(string_map(selector, "matchLabels"), labels):
        return False
    return all(_holds(expression, labels) for _, expression in mappings(selector, "matchExpressions"))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = text(expression, "key"), texts(expression, "values")
    match text(expression, "operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
