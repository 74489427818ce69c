"""What a caller asks about itself: who it is, whether it may do one thing, and what it may do in a namespace. Pure.

`kubectl auth whoami`, `can-i VERB KIND` and `can-i --list` post a SelfSubjectReview, SelfSubjectAccessReview and
SelfSubjectRulesReview; the answer is the same object with its status.
"""

from collections.abc import Callable, Mapping
from typing import Any

from meshcore.model.kinds import KINDS, NETWORKING, find_plural

from galley.core.access import ADMIN, EDITOR, REGISTRAR, STATUS_WRITER, VIEWER, need_of
from galley.core.kube_api import status
from galley.core.kube_api.paths import ResourcePath

Document = Mapping[str, Any]
Allows = Callable[[str, str | None], bool]
"""Whether the caller has a role in a namespace (None: in every one)."""

PATHS = {
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": "SelfSubjectRulesReview",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": "SelfSubjectReview",
}
"""Where each review is posted."""

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_READS = ["get", "list", "watch"]
_WRITES = ["create", "delete", "deletecollection", "patch", "update"]
_OPEN_DOCUMENTS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"]


def answer(kind: str, document: Document, user: str, allows: Allows) -> dict[str, Any]:
    """The status of a review; 400 when it does not say what it asks."""
    if kind == "SelfSubjectReview":
        return {"userInfo": {"username": user, "groups": ["system:authenticated"]}}
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        raise status.bad_request("spec is not an object")
    if kind == "SelfSubjectRulesReview":
        namespace = _text(spec, "namespace")
        if not namespace:
            raise status.bad_request("spec.namespace is required")
        return _rules(namespace, allows)
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(resource, Mapping):
        return _about_resource(resource, allows)
    if isinstance(other, Mapping):
        allowed = _text(other, "verb") in ("get", "head")
        return _verdict(allowed, "" if allowed else "what is no resource can only be read")
    raise status.bad_request("exactly one of spec.resourceAttributes and spec.nonResourceAttributes is required")


def _about_resource(asked: Document, allows: Allows) -> dict[str, Any]:
    verb, plural, group = _text(asked, "verb"), _text(asked, "resource"), _text(asked, "group")
    namespace = _text(asked, "namespace") or None
    if "*" in (verb, plural, group):
        return _verdict(allows(ADMIN, namespace), f"needs the role {ADMIN}")
    info, method = find_plural(group, plural), _METHODS.get(verb)
    if info is None:
        return _verdict(False, f"there are no {plural} here")
    if method is None:
        return _verdict(False, f"nothing here is called {verb}")
    name, subresource = _text(asked, "name") or None, _text(asked, "subresource") or None
    need = need_of(method, ResourcePath(group, info.storage_version, plural, namespace, name, subresource), info)
    return _verdict(allows(need.role, need.namespace), f"needs the role {need.role}")


def _verdict(allowed: bool, reason: str) -> dict[str, Any]:
    return {"allowed": True} if allowed else {"allowed": False, "reason": reason}


def _rules(namespace: str, allows: Allows) -> dict[str, Any]:
    verbs = [*(_READS if allows(VIEWER, namespace) else ()), *(_WRITES if allows(EDITOR, namespace) else ())]
    plurals: dict[str, list[str]] = {}
    for info in KINDS:
        if info.namespaced or allows(VIEWER, None):
            plurals.setdefault(info.group, []).append(info.plural)
    rules = [_rule(verbs, group, sorted(found)) for group, found in sorted(plurals.items())] if verbs else []
    if allows(REGISTRAR, namespace) and not allows(EDITOR, namespace):
        rules.append(_rule(_WRITES, NETWORKING, ["workloadentries"]))
    if allows(STATUS_WRITER, namespace):
        rules.append(_rule(["patch", "update"], "*", ["*/status"]))
    if allows(ADMIN, namespace):
        rules.append(_rule(["create"], "", ["serviceaccounts/token"]))
    documents = {"verbs": ["get"], "nonResourceURLs": list(_OPEN_DOCUMENTS)}
    return {"resourceRules": rules, "nonResourceRules": [documents], "incomplete": False}


def _rule(verbs: list[str], group: str, resources: list[str]) -> dict[str, Any]:
    return {"verbs": list(verbs), "apiGroups": [group], "resources": resources}


def _text(document: Document, name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise status.bad_request(f"{name} is not a string")
    return value
