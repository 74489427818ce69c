"""CustomResourceDefinitions of the mesh's own kinds, made from their models: for clusters whose API server stores them.

What the models limit stands in the schema as keywords and CEL rules, so that a cluster refuses what galley refuses
before any webhook is asked. Defaults are left out: a default that the server writes would count as written.
"""

from collections.abc import Mapping
from typing import Any

from meshcore.model.base import ONE_OF
from meshcore.model.kinds import KINDS, KindInfo

from galley.core.kinds import rules_of

Schema = dict[str, Any]

_REF = "#/$defs/"
_OWN_GROUPS = "istio.io"
_KEPT = (
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "pattern",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_SCALARS = frozenset(("integer", "number", "boolean"))
_PRESERVE: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def kinds_with_crds() -> tuple[KindInfo, ...]:
    """The kinds of the mesh itself; what Kubernetes or the Gateway API define is theirs."""
    return tuple(info for info in KINDS if info.group.endswith(_OWN_GROUPS))


def crd_name(info: KindInfo) -> str:
    """`virtualservices.networking.istio.io`, which is also the name of its file."""
    return f"{info.plural}.{info.group}"


def crd(info: KindInfo) -> Schema:
    """The whole definition of one kind; all of its versions have the same schema."""
    schema, columns = object_schema(info), _columns(info)
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == info.storage_version,
            "schema": {"openAPIV3Schema": schema},
            "additionalPrinterColumns": columns,
            **({"subresources": {"status": {}}} if info.has_status else {}),
        }
        for version in info.versions
    ]
    names: Schema = {
        "kind": info.kind,
        "listKind": f"{info.kind}List",
        "plural": info.plural,
        "singular": info.singular,
        "shortNames": list(info.short_names),
        "categories": list(info.categories),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd_name(info), "annotations": {"helm.sh/resource-policy": "keep"}},
        "spec": {
            "group": info.group,
            "names": {key: value for key, value in names.items() if value},
            "scope": "Namespaced" if info.namespaced else "Cluster",
            "versions": versions,
        },
    }


def object_schema(info: KindInfo) -> Schema:
    """The structural schema of a kind: no references, no defaults; metadata is Kubernetes' own matter."""
    source = info.model.model_json_schema(by_alias=True, mode="validation")
    definitions = source.get("$defs", {})
    properties = {
        name: _structural(part, definitions)
        for name, part in source["properties"].items()
        if name not in ("apiVersion", "kind", "metadata", "status")
    }
    if info.has_status:
        properties["status"] = {"type": "object", **_PRESERVE}
    required = sorted(set(source.get("required", ())) & set(properties))
    return {
        "type": "object",
        "description": _words(source),
        **({"required": required} if required else {}),
        "properties": properties,
    }


def _columns(info: KindInfo) -> list[Schema]:
    shown = []
    for column in rules_of(info).columns:
        if column.path:
            entry: Schema = {"name": column.name, "type": column.type, "jsonPath": "." + ".".join(column.path)}
            if column.description:
                entry["description"] = column.description
            if column.wide:
                entry["priority"] = 1
            shown.append(entry)
    return [*shown, dict(_AGE)]


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """One value's schema, with what it refers to written out in its place."""
    if "$ref" in schema:
        target = _structural(definitions[schema["$ref"].removeprefix(_REF)], definitions)
        return {**target, "description": _words(schema)} if "description" in schema else target
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return _only_form(schema, schema[union], definitions)
    result: Schema = {key: schema[key] for key in _KEPT if schema.get(key) is not None}
    if result.get("type") == "number":
        result["format"] = "double"
    if "description" in schema:
        result["description"] = _words(schema)
    if result.get("type") == "array":
        result["items"] = _structural(schema.get("items", {}), definitions)
    elif result.get("type") == "object":
        _add_members(result, schema, definitions)
    return result if "type" in result else {**result, **_PRESERVE}


def _add_members(result: Schema, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    if "properties" in schema:
        result["properties"] = {name: _structural(part, definitions) for name, part in schema["properties"].items()}
        if schema.get("required"):
            result["required"] = sorted(schema["required"])
        if schema.get("additionalProperties") is True:
            result.update(_PRESERVE)
    elif isinstance(schema.get("additionalProperties"), Mapping) and schema["additionalProperties"]:
        result["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
    else:
        result.update(_PRESERVE)
    groups = [_at_most_one(names) for names in schema.get(ONE_OF, ())]
    if len(groups) == 1:
        result["oneOf"] = groups[0]
    elif groups:
        result["allOf"] = [{"oneOf": group} for group in groups]


def _at_most_one(names: list[str]) -> list[Schema]:
    """A proto oneof: none of the fields, or one of them."""
    each = [{"required": [name]} for name in names]
    return [{"not": {"anyOf": each}}, *each]


def _only_form(schema: Mapping[str, Any], parts: list[Mapping[str, Any]], definitions: Mapping[str, Any]) -> Schema:
    """An optional value's own schema; a number or a name where both are allowed."""
    real = [part for part in parts if part.get("type") != "null"]
    if len(real) == 1:
        only = _structural(real[0], definitions)
        only.update({key: schema[key] for key in _KEPT if schema.get(key) is not None})
        if only.get("type") in _SCALARS and len(real) < len(parts):
            only["nullable"] = True
        return {**only, "description": _words(schema)} if "description" in schema else only
    if {part.get("type") for part in real} == {"integer", "string"}:
        return {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    return dict(_PRESERVE)


def _words(schema: Mapping[str, Any]) -> str:
    return " ".join(str(schema.get("description", "")).split())
