"""Which objects a list or watch is about: label selector and field selector together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import MeshError
from meshcore.labels import LabelSelector, parse_selector

from galley.core.kube_api import status

FIELDS = frozenset({"metadata.name", "metadata.namespace"})
"""Fields that every kind can be selected by; others are refused, as the API server does."""


_EVERY_LABEL = LabelSelector()


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """`field` must (or must not) be `value`."""

    field: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects that have these labels and these fields; the empty one is everything."""

    labels: LabelSelector = _EVERY_LABEL
    fields: tuple[FieldRequirement, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.labels.requirements and not self.fields

    @property
    def name(self) -> str | None:
        """The one name that can match, when the fields say so."""
        names = [need.value for need in self.fields if need.field == "metadata.name" and need.equal]
        return names[0] if names else None

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether the object is selected."""
        metadata = document.get("metadata") or {}
        fields = {"metadata.name": metadata.get("name", ""), "metadata.namespace": metadata.get("namespace", "")}
        return self.labels.matches(metadata.get("labels") or {}) and all(
            (fields[need.field] == need.value) is need.equal for need in self.fields
        )


def parse_selection(label_selector: str, field_selector: str) -> Selection:
    """Read both selectors; a 400 names what cannot be read."""
    try:
        labels = parse_selector(label_selector)
    except MeshError as error:
        raise status.bad_request(error.detail) from error
    return Selection(labels, tuple(_requirement(part) for part in field_selector.split(",") if part))


def _requirement(text: str) -> FieldRequirement:
    for sign in ("!=", "==", "="):
        field, found, value = text.partition(sign)
        if found:
            if field.strip() not in FIELDS:
                raise status.bad_request(f"field label not supported: {field.strip()}")
            return FieldRequirement(field.strip(), value.strip(), sign != "!=")
    raise status.bad_request(f"invalid field selector: {text!r}")
