"""What a document of a file must have before it can be asked for, written or compiled as an object. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.load import Document


def named_object(document: Document) -> dict[str, Any]:
    """The document's body. INVALID says with file and line what keeps it from being an object with a name."""
    violations = [document.locate(violation) for violation in _faults(document.body)]
    if violations:
        raise MeshError(ErrorCode.INVALID, "this is not an object of the config API", violations)
    body: dict[str, Any] = document.body
    return body


def _faults(body: Any) -> list[Violation]:
    if not isinstance(body, Mapping):
        return [Violation("", "is not an object", "a mapping with apiVersion, kind and metadata")]
    faults = [_not_text(key, body.get(key)) for key in ("apiVersion", "kind") if not _is_text(body.get(key))]
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return [*faults, Violation("metadata", _what(metadata), "a mapping with a name")]
    if not _is_text(metadata.get("name")):
        faults.append(_not_text("metadata.name", metadata.get("name")))
    if metadata.get("namespace") is not None and not isinstance(metadata["namespace"], str):
        faults.append(_not_text("metadata.namespace", metadata["namespace"]))
    return faults


def kind_faults(body: Mapping[str, Any]) -> list[Violation]:
    """What keeps a document from saying its kind at all: `apiVersion` or `kind` is there and is no text."""
    return [
        _not_text(key, body[key]) for key in ("apiVersion", "kind") if key in body and not isinstance(body[key], str)
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _not_text(field: str, value: Any) -> Violation:
    return Violation(field, _what(value), "a text")


def _what(value: Any) -> str:
    return "is missing" if value in (None, "") else f"{value!r} is a {type(value).__name__}"


def named_objects(documents: Iterable[Document]) -> list[dict[str, Any]]:
    """All bodies, or INVALID with what is wrong with any of them."""
    bodies: list[dict[str, Any]] = []
    violations: list[Violation] = []
    for document in documents:
        try:
            bodies.append(named_object(document))
        except MeshError as error:
            violations += error.violations
    if violations:
        raise MeshError(ErrorCode.INVALID, "these are not all objects of the config API", violations)
    return bodies
