"""From the pydantic models to structural schemas: no unions with null, no `anyOf`, one definition per message.

Both OpenAPI documents are made from these. A union that has no plain form (a number or a name) becomes a schema that
keeps what it is given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from meshcore.model.kinds import KindInfo

from galley.core.kinds import rules_of

Schema = dict[str, Any]

_REF = "#/$defs/"
_KEPT = ("type", "format", "description", "enum", "default", "minimum", "maximum", "minItems", "maxItems", "minLength")
_INT_OR_STRING: Schema = {"type": "string", "format": "int-or-string"}
_ANY: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True)
class KindSchema:
    """The definitions of one kind in one version; `root` names the kind's own."""

    root: str
    definitions: Mapping[str, Schema]


def definition_name(group: str, version: str, name: str) -> str:
    """`io.istio.networking.v1.VirtualService`: the group turned around, in the way of Kubernetes' own names."""
    if not group:
        return f"io.k8s.api.core.{version}.{name}"
    if group.endswith(".k8s.io"):
        return f"io.k8s.api.{group.split('.')[0]}.{version}.{name}"
    return f"{'.'.join(reversed(group.split('.')))}.{version}.{name}"


def kind_schema(info: KindInfo, version: str) -> KindSchema:
    """All definitions that a kind needs, with references of the form `#/definitions/NAME` left to the caller."""
    source = _model_schema(info)
    names = {name: _name_of(info, version, name) for name in source.get("$defs", {})}
    definitions = {names[name]: _simplify(schema, names) for name, schema in source.get("$defs", {}).items()}
    root = definition_name(info.group, version, info.kind)
    own = {key: value for key, value in source.items() if key != "$defs"}
    definitions[root] = _with_type_fields(_simplify(own, names), info, version)
    for path, merge_key in (rules_of(info).strategic_merge_keys or {}).items():
        _mark_merge_key(definitions, root, path.split("."), merge_key)
    return KindSchema(root, definitions)


def _mark_merge_key(definitions: Mapping[str, Schema], at: str, path: list[str], merge_key: str) -> None:
    """Say that a list merges by a key, so that clients send patches of single items."""
    field: Schema = definitions[at]["properties"][path[0]]
    if len(path) > 1:
        _mark_merge_key(definitions, field["$ref"], path[1:], merge_key)
        return
    field["x-kubernetes-patch-strategy"] = "merge"
    field["x-kubernetes-patch-merge-key"] = merge_key


@cache
def _model_schema(info: KindInfo) -> Schema:
    return info.model.model_json_schema(by_alias=True, mode="validation")


def _name_of(info: KindInfo, version: str, name: str) -> str:
    if name == "ObjectMeta":
        return OBJECT_META
    clean = name.rsplit("__", 1)[-1]
    return definition_name(info.group, version, f"{info.kind}.{clean}")


def _with_type_fields(schema: Schema, info: KindInfo, version: str) -> Schema:
    group_version_kind = {"group": info.group, "version": version, "kind": info.kind}
    return {**schema, "x-kubernetes-group-version-kind": [group_version_kind]}


def _simplify(schema: Any, names: Mapping[str, str]) -> Schema:
    if not isinstance(schema, Mapping):
        return dict(_ANY)
    if "$ref" in schema:
        return {"$ref": names[schema["$ref"].removeprefix(_REF)]}
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return _without_union(schema, schema[union], names)
    result = _own_keywords(schema)
    if "properties" in schema:
        result["properties"] = {name: _simplify(part, names) for name, part in sorted(schema["properties"].items())}
    if required := sorted(set(schema.get("required", ())) - {"apiVersion", "kind", "metadata"}):
        result["required"] = required
    if "prefixItems" in schema or "items" in schema or result.get("type") == "array":
        result["items"] = _simplify(schema.get("items", {}), names)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping) and "properties" not in schema:
        result["additionalProperties"] = _simplify(extra, names)
    elif extra is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    return result if "type" in result else {**_ANY, **result}


def _own_keywords(schema: Mapping[str, Any]) -> Schema:
    result: Schema = {key: schema[key] for key in _KEPT if key in schema and schema[key] is not None}
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).split())
    if not isinstance(result.get("default", ""), str | int | float | bool):
        del result["default"]
    return result


def _without_union(schema: Mapping[str, Any], parts: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Schema:
    real = [part for part in parts if part.get("type") != "null"]
    if len(real) != 1:
        return dict(_INT_OR_STRING if {"integer", "string"} == {part.get("type") for part in real} else _ANY)
    only = _simplify(real[0], names)
    if "$ref" not in only and "description" in schema:
        only["description"] = schema["description"]
    return only


def with_references(schema: Any, prefix: str) -> Any:
    """The schema with full references (`prefix` + name) in place of bare names."""
    if isinstance(schema, Mapping):
        return {
            key: prefix + value if key == "$ref" else with_references(value, prefix) for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [with_references(item, prefix) for item in schema]
    return schema
