"""From a document as it came to what is stored and what is published, or every reason why not.

Order: unknown fields (dropped, warned of or refused, as the caller asks), the server's defaults, schema, rules,
normalisation. Pure; other objects are not looked at here (see `references`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.base import MeshObject
from meshcore.model.kinds import KindInfo
from meshcore.model.load import dump_object, parse_object, without_nulls
from meshcore.model.structural import broken_rules
from meshcore.model.validation import field_path
from pydantic import ValidationError

from galley.core.kind_rules import Naming
from galley.core.kinds import rules_of
from galley.core.kube_api import status
from galley.core.kube_api.bodies import LARGEST
from galley.core.kube_api.query import FieldValidation
from galley.core.rules.object_metadata import check_metadata
from galley.core.rules.report import Report

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """An object that may be stored."""

    document: dict[str, Any]
    """As its author wrote it, in the storage version, with the server's defaults and without unknown fields."""
    normalised: dict[str, Any]
    """What consumers get."""
    parsed: MeshObject
    warnings: tuple[str, ...] = ()
    """For the author; nothing was refused."""


def validate(parsed: MeshObject, info: KindInfo) -> Report:
    """All semantic errors and warnings of one object, and what its schema's rules refuse besides."""
    report = Report()
    check_metadata(parsed, report)
    rules_of(info).validate(parsed, report)
    said = [violation.field for violation in report.errors]
    report.errors.extend(
        broken
        for broken in broken_rules(parsed)
        if not any(field.startswith(broken.field) and (field == broken.field or "." in broken.field) for field in said)
    )
    return report


def normalize(parsed: MeshObject, info: KindInfo, naming: Naming) -> dict[str, Any]:
    """The one form in which consumers get the object."""
    document = dump_object(rules_of(info).normalize(parsed, naming))
    document["apiVersion"] = info.api_version
    document.pop("status", None)  # not config: it is stored beside the object and never published
    metadata = document["metadata"]
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations", {})
    if annotations.pop(_LAST_APPLIED, None) is not None and not annotations:
        del metadata["annotations"]
    return document


_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def admit(
    document: Mapping[str, Any],
    info: KindInfo,
    naming: Naming,
    field_validation: FieldValidation = FieldValidation.STRICT,
    duplicates: Sequence[str] = (),
) -> Admitted:
    """Check one document; the error is a Status with every violation. `duplicates` are keys that were there twice."""
    name = str(document["metadata"].get("name", ""))
    version = str(document["apiVersion"]).rpartition("/")[2]
    try:
        body, unknown, known = prune({**document, "apiVersion": info.api_version}, info)
    except MeshError as error:
        raise status.from_error(error, info, ascii(name)[1:-1]) from error
    check_size(body, info, name)
    surplus = [f'unknown field "{path}"' for path in unknown] + [f'duplicate field "{path}"' for path in duplicates]
    if surplus and field_validation is FieldValidation.STRICT:
        raise status.bad_request(
            f'{info.kind} in version "{version}" cannot be handled as a {info.kind}: '
            f"strict decoding error: {', '.join(surplus)}"
        )
    filled = dict(rules_of(info).fill_defaults(body))
    try:
        parsed = known if known is not None and filled == body else parse_object(filled, strict=False)
    except MeshError as error:
        raise status.from_error(error, info, name) from error
    report = validate(parsed, info)
    if report.errors:
        raise status.invalid(info, name, report.errors)
    warnings = surplus if field_validation is FieldValidation.WARN else []
    warnings += [str(warning) for warning in report.warnings]
    return Admitted(filled, normalize(parsed, info, naming), parsed, tuple(warnings))


def check_size(value: Any, info: KindInfo, name: str) -> None:
    """413 for an object, or its status, that is larger than a request may be, however it has come to be so."""
    size = len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
    if size > LARGEST:
        detail = f"{info.plural} {name!r} would take {size} bytes; an object may take at most {LARGEST}"
        raise status.from_error(MeshError(ErrorCode.TOO_LARGE, detail))


def prune(document: Mapping[str, Any], info: KindInfo) -> tuple[dict[str, Any], tuple[str, ...], MeshObject | None]:
    """The document without the fields that its kind does not have, and without nulls; the paths of those fields; and
    what is left as an object, when the schema has nothing to say about it."""
    body = without_nulls(document, info.model)
    try:
        return body, (), info.model.model_validate(body, by_alias=True, by_name=False)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    unknown = [item["loc"] for item in found if item["type"] == "extra_forbidden"]
    for location in unknown:
        _drop(body, location)
    return body, tuple(field_path(location) for location in unknown), None


def _drop(body: Any, location: Location) -> None:
    for part in location[:-1]:
        body = body[part]
    body.pop(location[-1], None)


def violations_of(document: Mapping[str, Any], info: KindInfo) -> tuple[list[Violation], list[Violation]]:
    """Errors (unknown fields too) and warnings of a document that nobody is about to store: offline validation."""
    try:
        body, unknown, known = prune({**document, "apiVersion": info.api_version}, info)
    except MeshError as error:
        return list(error.violations), []
    errors = [Violation(path, "unknown field") for path in unknown]
    filled = rules_of(info).fill_defaults(body)
    try:
        parsed = known if known is not None and filled == body else parse_object(filled, strict=False)
    except MeshError as error:
        return errors + list(error.violations), []
    report = validate(parsed, info)
    return errors + report.errors, report.warnings
