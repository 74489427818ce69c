"""Object metadata at the API's edge: what a caller may say, what the URL decides, what the server keeps for itself."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from meshcore.errors import ErrorCode, Violation
from meshcore.labels import label_violations
from meshcore.model.kinds import KindInfo

from galley.core.kube_api import status
from galley.core.kube_api.paths import ResourcePath

Document = Mapping[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_LABEL_NAMES = frozenset({"Namespace", "Service"})
"""Kinds whose names are DNS labels; all others are subdomains."""

SERVER_SET = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields")
"""Metadata that the server decides; what managedFields become, `core.apply` says."""


def check_type(document: Any, path: ResourcePath, info: KindInfo) -> None:
    """The body's apiVersion and kind must be the URL's."""
    if not isinstance(document, Mapping):
        raise status.bad_request("the body is not an object")
    found = document.get("apiVersion"), document.get("kind")
    if found[0] != path.api_version:
        raise status.bad_request(
            f"the API version in the data ({found[0]}) does not match the expected API version ({path.api_version})"
        )
    if found[1] != info.kind:
        raise status.bad_request(f"the kind in the data ({found[1]}) does not match the expected kind ({info.kind})")
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        raise status.bad_request("metadata is required and is an object")
    _check_texts(metadata)


def with_type(document: Any, path: ResourcePath, info: KindInfo, *, built_in: bool) -> Any:
    """The document with its apiVersion and kind: typed clients leave them out for the kinds that Kubernetes has
    itself, and the URL says them."""
    if not built_in or not isinstance(document, Mapping):
        return document
    missing = {
        name: value for name, value in (("apiVersion", path.api_version), ("kind", info.kind)) if not document.get(name)
    }
    return {**missing, **{name: value for name, value in document.items() if name not in missing}}


def _check_texts(metadata: Document) -> None:
    """YAML 1.1 makes `yes` a boolean; a label or annotation that is no string would break its readers later."""
    for field in ("labels", "annotations"):
        values = metadata.get(field) or {}
        if not isinstance(values, Mapping):
            raise status.bad_request(f"metadata.{field} is not an object")
        for key, value in values.items():
            if not isinstance(value, str):
                raise status.bad_request(f"metadata.{field}[{key}] is not a string: {value!r}; quote it")
    for key in metadata.get("annotations") or {}:
        if label_violations({str(key).lower(): ""}, ""):
            raise status.bad_request(f"metadata.annotations: {str(key)[:300]!r} is not the name of an annotation")
    for field in ("name", "namespace", "generateName", "resourceVersion", "uid"):
        if not isinstance(metadata.get(field) or "", str):
            raise status.bad_request(f"metadata.{field} is not a string")


def for_create(
    document: Document, path: ResourcePath, info: KindInfo, suffix: Callable[[], str] = str
) -> dict[str, Any]:
    """The document to be created: namespace from the URL; without a name it is `generateName` and a suffix."""
    metadata = dict(document["metadata"])
    if metadata.get("resourceVersion"):
        message = "resourceVersion should not be set on objects to be created"
        raise status.StatusError(ErrorCode.INTERNAL, 500, "InternalError", message)
    check_namespace(metadata, path, info)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = f"{metadata['generateName']}{suffix()}"
    name = metadata.get("name") or ""
    if fault := name_fault(info, name):
        raise status.invalid(info, name, [Violation("metadata.name", *fault)])
    return {**document, "metadata": _cleaned(metadata, path, info)}


def for_update(document: Document, path: ResourcePath, info: KindInfo, current: Document) -> dict[str, Any]:
    """The document to replace `current` with: same name, namespace and uid as the URL and the stored object."""
    metadata = dict(document["metadata"])
    check_namespace(metadata, path, info)
    name = metadata.get("name") or ""
    if name != path.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({path.name})")
    uid = metadata.get("uid")
    if uid and uid != current["metadata"].get("uid"):
        raise status.invalid(info, name, [Violation("metadata.uid", f'"{uid}": field is immutable')])
    cleaned = _cleaned(metadata, path, info)
    for kept in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        cleaned.pop(kept, None)
        if kept in current["metadata"]:
            cleaned[kept] = current["metadata"][kept]
    return {**document, "metadata": cleaned}


def check_namespace(metadata: Document, path: ResourcePath, info: KindInfo) -> None:
    """The body may repeat the URL's namespace, not contradict it."""
    namespace = metadata.get("namespace") or ""
    if namespace and namespace != (path.namespace or "" if info.namespaced else ""):
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def name_fault(info: KindInfo, name: str) -> tuple[str, str] | None:
    """What is wrong with an object's name and what would be right, or None."""
    if not name:
        return "name or generateName is required", "a name"
    if info.kind in _LABEL_NAMES:
        wrong = len(name) > 63 or not _LABEL.fullmatch(name)
        return (f"{name!r} is not a DNS label", "at most 63 of a-z, 0-9 and '-'") if wrong else None
    wrong = len(name) > 253 or not _SUBDOMAIN.fullmatch(name)
    return (f"{name!r} is not a DNS subdomain", "at most 253 of a-z, 0-9, '-' and '.'") if wrong else None


def _cleaned(metadata: dict[str, Any], path: ResourcePath, info: KindInfo) -> dict[str, Any]:
    cleaned = {key: value for key, value in metadata.items() if key not in SERVER_SET and value is not None}
    if info.namespaced:
        cleaned["namespace"] = path.namespace
    else:
        cleaned.pop("namespace", None)
    return cleaned


def resource_version_of(document: Document) -> str | None:
    """The precondition in a document, None when it has none; a version that is no number matches nothing: 400."""
    version = (document.get("metadata") or {}).get("resourceVersion")
    if not version:
        return None
    if not str(version).isdecimal():
        raise status.bad_request(f'metadata.resourceVersion: Invalid value: "{version}"')
    return str(version)
