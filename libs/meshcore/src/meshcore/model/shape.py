"""What a model's fields are made of, read once from their annotations: for whoever walks documents or objects."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from meshcore.model.cel import Cel, Keyword, MapKeys

Rule = Cel | Keyword | MapKeys


class Form(Enum):
    """How a value is composed."""

    PLAIN = "plain"
    LIST = "list"
    MAP = "map"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A value: the rules on it, and what it consists of (`inner` of a list or map, `model` of a message). There is one
    for each place in a model, and it equals no other."""

    form: Form = Form.PLAIN
    rules: tuple[Rule, ...] = ()
    inner: "Shape | None" = None
    model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A field of a message under its attribute and its JSON name."""

    attribute: str
    name: str
    shape: Shape


@cache
def fields_of(model: type[BaseModel]) -> tuple[FieldShape, ...]:
    """The fields of a model."""
    return tuple(
        FieldShape(attribute, field.alias or attribute, _shape(field.annotation, tuple(field.metadata)))
        for attribute, field in model.model_fields.items()
    )


@cache
def fields_by_name(model: type[BaseModel]) -> Mapping[str, FieldShape]:
    """The same by JSON name."""
    return {field.name: field for field in fields_of(model)}


def _shape(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0], (*arguments[1:], *metadata))
    if origin in (Union, types.UnionType):
        real = [argument for argument in arguments if argument is not type(None)]
        return _shape(real[0], metadata) if len(real) == 1 else Shape()
    rules = tuple(item for item in metadata if isinstance(item, Rule))
    if origin is tuple and arguments:
        return Shape(Form.LIST, rules, inner=_shape(arguments[0], ()))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape(Form.MAP, rules, inner=_shape(arguments[1], ()))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(Form.MESSAGE, rules, model=annotation)
    return Shape(rules=rules)
