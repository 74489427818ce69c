"""AdmissionReview (admission.k8s.io v1 and v1beta1): an API server asks whether a config object may be stored. Pure.

The verdict is that of the config API (`galley.core.admission`) with one difference: unknown fields inside `spec` are
let through, because the API server prunes or refuses them itself; an unknown key beside `spec` is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import KindInfo, by_kind

from galley.core import admission
from galley.core.kind_rules import Naming
from galley.core.kube_api.query import FieldValidation

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
OPERATIONS = ("CREATE", "UPDATE")
TOP_LEVEL = frozenset(("apiVersion", "kind", "metadata", "spec", "status"))
CONFIG_MAP = "ConfigMap"
"""Judged too, which Istio does not: one of them is the mesh's config."""
_TOP_LEVEL_OF = {CONFIG_MAP: frozenset(("apiVersion", "kind", "metadata", "data", "binaryData", "immutable"))}
MIXER_GROUP = "config.istio.io"
MOST_WARNINGS = 100
LONGEST_MESSAGE = 16 * 1024
"""Characters of a refusal; an object with ten thousand errors still gets an answer that a terminal can show."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request of an AdmissionReview. `document` is None when it holds no object that could be read."""

    api_version: str
    uid: str
    operation: str
    namespace: str
    dry_run: bool
    document: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and what to count: `reason` is empty for an object that passed; labels come from our own tables."""

    review: dict[str, Any]
    allowed: bool
    reason: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    counted: bool = True
    """False for a dry run: failures of one are nobody's loss."""


def parse_review(body: bytes) -> Question:
    """Read a review; INVALID when it is none that can be answered."""
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, "the body is not JSON") from error
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or review.get("kind") != "AdmissionReview":
        raise MeshError(ErrorCode.INVALID, "the body is not an AdmissionReview with a request")
    api_version = review.get("apiVersion")
    if api_version not in VERSIONS:
        raise MeshError(ErrorCode.INVALID, f"an AdmissionReview has the version {' or '.join(VERSIONS)}")
    found = request.get("object")
    return Question(
        api_version,
        str(request.get("uid") or ""),
        str(request.get("operation") or ""),
        str(request.get("namespace") or ""),
        request.get("dryRun") is True,
        found if isinstance(found, dict) else None,
    )


def unreadable(error: MeshError) -> Verdict:
    """The answer to a body that is no review: not allowed, and why."""
    review = _review(VERSIONS[0], {"uid": "", "allowed": False, "status": {"message": error.detail}})
    return Verdict(review, False, "request_decode_error")


def decide(question: Question, naming: Naming, *, mixer: bool | None = None) -> Verdict:
    """Allow or refuse. `mixer` says which kinds this path is for: True Mixer's alone, False all but those, None all."""
    if question.operation not in OPERATIONS:
        return _allowed(question, reason="unsupported_operation")
    document = question.document
    if document is None:
        return _refused(question, None, "yaml_decode_error", "cannot decode configuration: the request has no object")
    try:
        info = _kind_of(document, mixer)
    except MeshError as error:
        named = f"{_shown(document.get('apiVersion'))}, Kind={_shown(document.get('kind'))}"
        return _refused(question, None, "unknown_resource", f"unrecognized type {named}: {error.detail}")
    if surplus := sorted(set(document) - _TOP_LEVEL_OF.get(info.kind, TOP_LEVEL)):
        listed = ", ".join(f'"{_shown(name)}"' for name in surplus[:10])
        return _refused(question, info, "invalid_resource", f"unknown field {listed} in {info.kind}")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return _refused(question, info, "yaml_decode_error", "cannot decode configuration: it has no metadata")
    if info.namespaced and question.namespace and not metadata.get("namespace"):
        document = {**document, "metadata": {**metadata, "namespace": question.namespace}}
    try:
        admitted = admission.admit(document, info, naming, FieldValidation.IGNORE)
    except MeshError as refusal:
        if isinstance(refusal.__cause__, MeshError):  # the schema's error, which has no semantic errors beside it
            return _refused(question, info, "crd_conversion_error", f"error decoding configuration: {_text(refusal)}")
        return _refused(question, info, "invalid_resource", f"configuration is invalid: {_text(refusal)}")
    except RecursionError:
        return _refused(question, info, "yaml_decode_error", "cannot decode configuration: it is nested too deeply")
    return _allowed(question, info, admitted.warnings)


def _kind_of(document: Mapping[str, Any], mixer: bool | None) -> KindInfo:
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise MeshError(ErrorCode.INVALID, "apiVersion and kind are required")
    info = by_kind(api_version, kind)
    if not info.group.endswith(".istio.io") and info.kind != CONFIG_MAP:
        raise MeshError(ErrorCode.INVALID, "only Istio's own kinds and ConfigMaps are validated here")
    if mixer is not None and mixer is not (info.group == MIXER_GROUP):
        raise MeshError(ErrorCode.INVALID, "this path is for other kinds")
    return info


def _text(error: MeshError) -> str:
    return "; ".join(str(violation) for violation in error.violations) or error.detail


def _shown(value: Any) -> str:
    return str(value)[:80]


def _allowed(
    question: Question, info: KindInfo | None = None, warnings: tuple[str, ...] = (), *, reason: str = ""
) -> Verdict:
    response: dict[str, Any] = {"uid": question.uid, "allowed": True}
    if warnings:
        more = [f"and {len(warnings) - MOST_WARNINGS} more warnings"] if len(warnings) > MOST_WARNINGS else []
        response["warnings"] = [*warnings[:MOST_WARNINGS], *more]
    return Verdict(_review(question.api_version, response), True, reason, *_labels(question, info))


def _refused(question: Question, info: KindInfo | None, reason: str, message: str) -> Verdict:
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + " ..."
    response = {"uid": question.uid, "allowed": False, "status": {"message": message}}
    review = _review(question.api_version, response)
    return Verdict(review, False, reason, *_labels(question, info), counted=not question.dry_run)


def _labels(question: Question, info: KindInfo | None) -> tuple[str, str, str]:
    """group, version, resource for the metrics; empty for what we do not know, since callers choose those names."""
    if info is None or question.document is None:
        return "", "", ""
    return info.group, str(question.document["apiVersion"]).rpartition("/")[2], info.plural


def _review(api_version: str, response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": "AdmissionReview", "response": response}
