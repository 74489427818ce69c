"""The rules that schemas carry, asked of parsed objects: what a CRD's CEL expressions refuse in a cluster."""

from collections.abc import Iterator, Mapping
from functools import cache

from pydantic import BaseModel

from meshcore.errors import Violation
from meshcore.model.base import MeshModel
from meshcore.model.cel import Keyword
from meshcore.model.shape import FieldShape, Form, Shape, fields_of


def broken_rules(value: BaseModel) -> list[Violation]:
    """Every rule of the object's schema that does not hold, under the path of the value it is about."""
    return list(_of_message(value, ""))


def _of_message(message: BaseModel, at: str) -> Iterator[Violation]:
    if isinstance(message, MeshModel):
        for rule in message.cel:
            if not rule.holds(message):
                yield Violation(_below(at, rule.field) if rule.field else at, rule.message)
    given = message.model_fields_set
    for field in _ruled_fields(type(message)):
        if field.attribute in given:
            yield from _of_value(getattr(message, field.attribute), field.shape, _below(at, field.name))


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _of_value(value: object, shape: Shape, at: str) -> Iterator[Violation]:
    if value is None:
        return
    for rule in shape.rules:
        if not rule.holds(value):  # type: ignore[arg-type]
            yield Violation(at, rule.message, rule.expected if isinstance(rule, Keyword) else "")
    if isinstance(value, BaseModel):
        yield from _of_message(value, at)
    elif shape.inner is None or not _has_rules(shape.inner):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _of_value(item, shape.inner, f"{at}[{key}]")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _of_value(item, shape.inner, f"{at}[{index}]")


@cache
def _ruled_fields(model: type[BaseModel]) -> tuple[FieldShape, ...]:
    return tuple(field for field in fields_of(model) if _has_rules(field.shape))


@cache
def _has_rules(shape: Shape) -> bool:
    """Whether anything below can be refused: most fields carry no rule and are not walked."""
    if shape.rules:
        return True
    if shape.form is Form.MESSAGE and shape.model is not None:
        rules = shape.model.cel if issubclass(shape.model, MeshModel) else ()
        return bool(rules) or any(_has_rules(field.shape) for field in fields_of(shape.model))
    return shape.inner is not None and _has_rules(shape.inner)
