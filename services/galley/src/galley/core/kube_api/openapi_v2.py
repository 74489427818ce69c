"""OpenAPI v2 in the binary form that kubectl before 1.27 needs (gnostic's OpenAPIv2.proto), written by hand.

Only what clients read: a definition per message with its kind, and a PATCH operation per kind with the query
parameters that say "dry run and field validation are understood".
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from meshcore.model.kinds import KINDS, KindInfo

from galley.core.kube_api.openapi_v3 import group_version_path
from galley.core.kube_api.schemas import kind_schema, with_references

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients ask for; a reply must not carry it, since Go's parser of media types refuses the `@`."""


# Field numbers of gnostic's messages, as _MESSAGE_FIELD.
_DOCUMENT_SWAGGER, _DOCUMENT_INFO, _DOCUMENT_PATHS, _DOCUMENT_DEFINITIONS = 1, 2, 8, 9
_PATHS_PATH, _PATH_ITEM_PATCH = 2, 8
_OPERATION_ID, _OPERATION_PARAMETERS, _OPERATION_RESPONSES, _OPERATION_EXTENSION = 5, 8, 9, 13
_SCHEMA_REF, _SCHEMA_FORMAT, _SCHEMA_DESCRIPTION, _SCHEMA_REQUIRED = 1, 2, 4, 19
_SCHEMA_ADDITIONAL, _SCHEMA_TYPE, _SCHEMA_ITEMS, _SCHEMA_PROPERTIES, _SCHEMA_EXTENSION = 21, 22, 23, 25, 31


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(*fields: tuple[int, str | bytes]) -> bytes:
    """A message of length-delimited fields."""
    out = bytearray()
    for number, value in fields:
        body = value.encode() if isinstance(value, str) else value
        out += _varint(int(number) << 3 | 2) + _varint(len(body)) + body
    return bytes(out)


def _named(name: str, value: bytes) -> bytes:
    return _message((1, name), (2, value))


def _extension(name: str, value: Any) -> bytes:
    """A vendor extension: its value travels as YAML text, of which JSON is a part."""
    return _named(name, _message((2, json.dumps(value))))


@cache
def encoded() -> bytes:
    """The whole document; made once."""
    definitions: dict[str, Any] = {}
    paths: list[bytes] = []
    for info in KINDS:
        for version in info.versions:
            own = kind_schema(info, version)
            definitions.update(own.definitions)
            paths.append(_path(info, version))
    return _message(
        (_DOCUMENT_SWAGGER, "2.0"),
        (_DOCUMENT_INFO, _message((1, "Meshcore"), (2, "v1"))),
        (_DOCUMENT_PATHS, _message(*((_PATHS_PATH, path) for path in paths))),
        (
            _DOCUMENT_DEFINITIONS,
            _message(*((1, _named(name, _schema(schema))) for name, schema in sorted(definitions.items()))),
        ),
    )


def _path(info: KindInfo, version: str) -> bytes:
    base = "/" + group_version_path(info.group, version)
    path = (
        f"{base}/namespaces/{{namespace}}/{info.plural}/{{name}}"
        if info.namespaced
        else f"{base}/{info.plural}/{{name}}"
    )
    kind = {"group": info.group, "version": version, "kind": info.kind}
    operation = _message(
        (_OPERATION_ID, f"patch{info.kind}{version}"),
        *((_OPERATION_PARAMETERS, _query_parameter(name)) for name in ("dryRun", "fieldManager", "fieldValidation")),
        (_OPERATION_RESPONSES, b""),
        (_OPERATION_EXTENSION, _extension("x-kubernetes-group-version-kind", kind)),
    )
    return _named(path, _message((_PATH_ITEM_PATCH, operation)))


def _query_parameter(name: str) -> bytes:
    """ParametersItem.parameter=1 > Parameter.non_body_parameter=2 > NonBodyParameter.query=3 (in=2, name=4, type=6)."""
    query = _message((2, "query"), (4, name), (6, "string"))
    return _message((1, _message((2, _message((3, query))))))


def _schema(schema: Mapping[str, Any]) -> bytes:
    if "$ref" in schema:
        return _message((_SCHEMA_REF, "#/definitions/" + schema["$ref"]))
    fields: list[tuple[int, str | bytes]] = []
    if "format" in schema:
        fields.append((_SCHEMA_FORMAT, schema["format"]))
    if "description" in schema:
        fields.append((_SCHEMA_DESCRIPTION, schema["description"]))
    fields.extend((_SCHEMA_REQUIRED, name) for name in schema.get("required", ()))
    if "additionalProperties" in schema:
        fields.append((_SCHEMA_ADDITIONAL, _message((1, _schema(schema["additionalProperties"])))))
    fields.append((_SCHEMA_TYPE, _message((1, schema.get("type", "object")))))
    if "items" in schema:
        fields.append((_SCHEMA_ITEMS, _message((1, _schema(schema["items"])))))
    if schema.get("properties"):  # an empty list of them would allow none
        named = _properties(schema["properties"].items())
        fields.append((_SCHEMA_PROPERTIES, _message(*((1, item) for item in named))))
    fields.extend(
        (_SCHEMA_EXTENSION, _extension(name, value))
        for name, value in schema.items()
        if name.startswith("x-kubernetes-")
    )
    return _message(*fields)


def _properties(items: Iterable[tuple[str, Any]]) -> list[bytes]:
    return [_named(name, _schema(schema)) for name, schema in items]


@cache
def as_json() -> bytes:
    """The same for callers that ask for JSON: definitions only."""
    definitions: dict[str, Any] = {}
    for info in KINDS:
        for version in info.versions:
            definitions.update(kind_schema(info, version).definitions)
    body = {
        "swagger": "2.0",
        "info": {"title": "Meshcore", "version": "v1"},
        "paths": {},
        "definitions": with_references(definitions, "#/definitions/"),
    }
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
