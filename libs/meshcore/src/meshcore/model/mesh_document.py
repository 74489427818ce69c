"""Reading the documents that a ConfigMap carries as text: mesh config and mesh networks.

Fields nobody knows are dropped and listed, so that they can be warned of: an operator's file must not stop the mesh.
"""

from typing import Any, TypeVar

from pydantic import ValidationError

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.base import MeshModel
from meshcore.model.load import load_yaml_documents, without_nulls
from meshcore.model.validation import field_path, violations_of

Model = TypeVar("Model", bound=MeshModel)


def parse_mesh_document(text: str, model: type[Model], what: str) -> tuple[Model, tuple[str, ...]]:
    """The message and the paths of unknown fields; INVALID with all violations. Names may be in snake case, too."""
    body = without_nulls(_load(text, what), model)
    try:
        return model.model_validate(body, by_alias=True, by_name=True), ()
    except ValidationError as error:
        others = violations_of(error, skip=("extra_forbidden",))
        if others:
            raise MeshError(ErrorCode.INVALID, f"{what} is not valid", others) from None
        unknown = [item["loc"] for item in error.errors(include_url=False) if item["type"] == "extra_forbidden"]
    for location in unknown:
        _drop(body, location)
    try:
        parsed = model.model_validate(body, by_alias=True, by_name=True)
    except ValidationError as error:
        raise MeshError(ErrorCode.INVALID, f"{what} is not valid", violations_of(error)) from None
    return parsed, tuple(field_path(location) for location in unknown)


def _load(text: str, what: str) -> dict[Any, Any]:
    documents = load_yaml_documents(text, what)
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0].body, dict):
        raise MeshError(ErrorCode.INVALID, f"{what} is not a YAML mapping")
    return documents[0].body


def _drop(body: Any, location: tuple[str | int, ...]) -> None:
    for part in location[:-1]:
        body = body[part]
    body.pop(location[-1], None)
