"""OpenAPI v3, one document per group and version, with what kubectl reads in it.

kubectl needs a PATCH operation per kind that says which kind it patches and that it takes `fieldValidation` (then the
server validates), and schemas that name their kind (for `explain`). The URL of a document carries a hash of it, so it
may be cached for ever.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from meshcore.model.kinds import KindInfo

from galley.core.kube_api import discovery
from galley.core.kube_api.schemas import kind_schema, with_references

Body = dict[str, Any]

_REF = "#/components/schemas/"


def group_version_path(group: str, version: str) -> str:
    """`api/v1` or `apis/GROUP/VERSION`."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


@cache
def root() -> Body:
    """`/openapi/v3`: the URL of every document, none left out."""
    paths = {}
    for group, versions in discovery.groups().items():
        for version in versions:
            path = group_version_path(group, version)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={document_hash(group, version)}"}
    return {"paths": paths}


@cache
def encoded(group: str, version: str) -> bytes:
    """The document of one group and version, as JSON."""
    return json.dumps(document(group, version), separators=(",", ":"), sort_keys=True).encode()


def document_hash(group: str, version: str) -> str:
    """Changes when the document does."""
    return hashlib.sha256(encoded(group, version)).hexdigest()[:32].upper()


def document(group: str, version: str) -> Body:
    """The document of one group and version."""
    schemas: Body = {}
    paths: Body = {}
    for info in discovery.kinds_of(group, version):
        own = kind_schema(info, version)
        schemas.update({name: with_references(schema, _REF) for name, schema in own.definitions.items()})
        paths.update(_paths(info, version, own.root))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Meshcore", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _paths(info: KindInfo, version: str, root_schema: str) -> Body:
    base = "/" + group_version_path(info.group, version)
    collection = f"{base}/namespaces/{{namespace}}/{info.plural}" if info.namespaced else f"{base}/{info.plural}"
    in_namespace = [_parameter("namespace", "path", required=True)] if info.namespaced else []
    named = [_parameter("name", "path", required=True), *in_namespace]
    write = [_parameter(name, "query") for name in ("dryRun", "fieldManager", "fieldValidation")]
    kind = {"group": info.group, "version": version, "kind": info.kind}
    reference = {"$ref": _REF + root_schema}

    def operation(action: str, verb: str, parameters: list[Body], body: str | None = None) -> Body:
        result: Body = {
            "operationId": f"{verb}{info.kind}{version}",
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        }
        if body is not None:
            schema = reference if body == "application/json" else {"type": "object"}
            result["requestBody"] = {"content": {body: {"schema": schema}}}
        return result

    return {
        collection: {
            "parameters": in_namespace,
            "get": operation("list", "list", [_parameter("labelSelector", "query"), _parameter("watch", "query")]),
            "post": operation("post", "create", write, "application/json"),
        },
        f"{collection}/{{name}}": {
            "parameters": named,
            "get": operation("get", "read", []),
            "put": operation("put", "replace", write, "application/json"),
            "patch": operation("patch", "patch", write, "application/merge-patch+json"),
            "delete": operation("delete", "delete", write[:1]),
        },
    }


def _parameter(name: str, place: str, *, required: bool = False) -> Body:
    parameter: Mapping[str, Any] = {"name": name, "in": place, "schema": {"type": "string"}}
    return {**parameter, "required": True} if required else dict(parameter)
