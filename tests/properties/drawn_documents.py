"""Documents drawn from the models themselves, so that a field that comes is drawn too.

`documents` draws what a model can hold; `accepted` takes away, part by part, what Galley refuses, so that most of what
was drawn is left and is valid.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from hypothesis import strategies as st
from meshcore.model.base import MeshModel
from meshcore.model.load import Document
from meshctl.core.validation import validate_documents

from tests.properties import words

MAX_FIELDS = 3
"""How many optional fields of a message are set at most; deep messages would hold nothing that is valid otherwise."""
_MAX_CUTS = 25


@st.composite
def drawn(
    draw: st.DrawFn,
    model: type[MeshModel],
    fields: int = MAX_FIELDS,
    must: Sequence[str] = (),
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """A document of this model, in JSON names: required fields, those of `must`, and some of the others."""
    known = {info.alias or name: (name, info) for name, info in model.model_fields.items()}
    choices = words.ONE_OF_THEM.get(model.__name__, ())
    must = (*must, *words.ALWAYS.get(model.__name__, ()), *((draw(st.sampled_from(choices)),) if choices else ()))
    required = [alias for alias, (_, info) in known.items() if info.is_required() or alias in must]
    optional = [alias for alias in known if alias not in {*required, *choices, *without} | words.LEFT_OUT]
    chosen = draw(st.lists(st.sampled_from(optional), max_size=fields, unique=True)) if optional else []
    taken: list[str] = []
    for alias in chosen:
        name = known[alias][0]
        rivals = {other for group in model.one_of if name in group for other in group}
        if not any(known[before][0] in rivals for before in taken):
            taken.append(alias)
    return {alias: draw(_value(known[alias][1].annotation, alias, model)) for alias in (*required, *taken)}


def _value(annotation: Any, alias: str, owner: type[MeshModel]) -> st.SearchStrategy[Any]:
    given = words.of_field(owner.__name__, alias)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _value(get_args(annotation)[0], alias, owner)
    if origin in (Union, types.UnionType):
        return _value(next(item for item in get_args(annotation) if item is not type(None)), alias, owner)
    if origin is tuple:
        least = 1 if alias in words.NEVER_EMPTY else 0
        return st.lists(_value(get_args(annotation)[0], alias, owner), min_size=least, max_size=2)
    if given is not None:
        return given
    if origin is not None and issubclass(origin, Mapping):
        values = _value(get_args(annotation)[1], f"{alias}.value", owner)
        return st.dictionaries(words.keys_of(alias), values, max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, MeshModel):
        return drawn(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from([item.value for item in annotation])
    return _scalar(annotation)


def _scalar(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is bool:
        return st.booleans()
    if annotation is timedelta:
        return words.DURATIONS
    if annotation is float:
        return words.FRACTIONS
    return words.NUMBERS if annotation is int else words.TEXTS


def accepted(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The document without the parts that Galley refuses; None when nothing acceptable is left."""
    return _without_refused(document, _refused_fields)


def accepted_mesh(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mesh config, in its ConfigMap, without the parts that Galley refuses."""

    def refused(body: Mapping[str, Any]) -> list[str]:
        return [field.replace("data.mesh: ", "mesh.") for field in _refused_fields(mesh_document(body["mesh"]))]

    left = _without_refused({"mesh": values}, refused)
    return mesh_document(left["mesh"] if left is not None else {})


def mesh_document(values: Mapping[str, Any]) -> dict[str, Any]:
    """The ConfigMap with that mesh config."""
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": yaml.safe_dump(values)}}


def _refused_fields(body: Mapping[str, Any]) -> list[str]:
    return [error.field for error in validate_documents([Document("drawn", 1, dict(body))])[0].errors]


def _without_refused(
    document: Mapping[str, Any], refused: Callable[[Mapping[str, Any]], list[str]]
) -> dict[str, Any] | None:
    body: dict[str, Any] = _copied(document)
    for _ in range(_MAX_CUTS):
        fields = refused(body)
        if not fields:
            return body
        if not _cut(body, fields[-1]):
            return None
    return None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _cut(body: dict[str, Any], path: str) -> bool:
    """Remove what the path names, or the nearest part around it that is there; False when that is all."""
    steps = [int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")]
    place: Any = body
    around: list[tuple[Any, Any]] = []
    for step in steps:
        inside = isinstance(place, dict) and step in place
        if not inside and not (isinstance(place, list) and isinstance(step, int) and step < len(place)):
            break
        around.append((place, step))
        place = place[step]
    found = len(around) == len(steps)
    while around and not found and not isinstance(around[-1][1], int) and len(around) > 2:
        around.pop()  # something is missing in it: it goes as a whole
        found = True
    if len(around) < 2:
        return False
    holder, step = around[-1]
    del holder[step]
    if not holder and len(around) > 2:
        outer, where = around[-2]
        del outer[where]
    return True
