"""AdmissionReview (admission.k8s.io v1 and v1beta1): the API server's question about a pod, and the answer. Pure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ADMISSION_REASON, HTTP_STATUS, ErrorCode, MeshError, Violation

from injector.core.config import InjectionConfig
from injector.core.context import PodFacts
from injector.core.decision import injection_required
from injector.core.inject import inject_pod
from injector.core.patch import json_patch
from injector.core.workload import workload_of_pod

LARGEST_POD = 10_000
"""Containers, volumes, variables, ports and mounts of a pod together; no API server stores one that has more."""

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


@dataclass(frozen=True)
class PodQuestion:
    """An AdmissionReview's request. `pod` is None for anything that is not a pod."""

    api_version: str
    uid: str
    namespace: str
    pod: Mapping[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """The AdmissionReview to send back, and what to count: `result` is one of injected, skipped, refused."""

    review: dict[str, Any]
    result: str
    reason: str


def parse_review(body: bytes) -> PodQuestion:
    """Read the request; INVALID when it is not an AdmissionReview that can be answered."""
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, "the body is not JSON") from error
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or review.get("kind") != "AdmissionReview":
        raise MeshError(ErrorCode.INVALID, "the body is not an AdmissionReview with a request")
    if review.get("apiVersion") not in VERSIONS:
        raise MeshError(
            ErrorCode.INVALID,
            "the AdmissionReview has a version that is not served",
            [Violation("apiVersion", f"{str(review.get('apiVersion'))[:80]!a}", " or ".join(VERSIONS))],
        )
    if not isinstance(request.get("uid"), str) or not request["uid"]:
        raise MeshError(ErrorCode.INVALID, "the request has no uid", [Violation("request.uid", "is missing")])
    pod = request.get("object")
    kind = request.get("kind")
    is_pod = isinstance(kind, dict) and (kind.get("group") or "", kind.get("kind")) == ("", "Pod")
    if is_pod and not (isinstance(pod, dict) and _has_shape_of_pod(pod)):
        raise MeshError(
            ErrorCode.INVALID, "the request has no pod", [Violation("request.object", "is not a pod, or is too large")]
        )
    namespace = str(request.get("namespace") or "")
    return PodQuestion(review["apiVersion"], request["uid"], namespace, pod if is_pod else None)


def answer(
    question: PodQuestion,
    config: InjectionConfig,
    *,
    namespace_labels: Mapping[str, str] | None = None,
    network: str = "",
    cluster_id: str = "",
) -> Outcome:
    """Decide and inject; a pod that cannot be injected is refused with every reason, never let in without a sidecar."""
    if question.pod is None:
        return _allowed(question, "skipped", "not a pod")
    namespace = question.namespace or str((question.pod.get("metadata") or {}).get("namespace") or "default")
    decision = injection_required(
        question.pod,
        namespace,
        policy=config.policy,
        never=config.never,
        always=config.always,
        namespace_labels=namespace_labels,
    )
    if not decision.inject:
        return _allowed(question, "skipped", decision.reason)
    facts = PodFacts(question.pod, namespace, workload_of_pod(question.pod), config, network, cluster_id)
    try:
        injected = inject_pod(facts)
    except MeshError as error:
        return _refused(question, error)
    operations = json_patch(question.pod, injected)
    outcome = _allowed(question, "injected", decision.reason)
    if operations:
        encoded = base64.b64encode(json.dumps(operations, separators=(",", ":")).encode()).decode()
        outcome.review["response"].update(patchType="JSONPatch", patch=encoded)
    return outcome


def _has_shape_of_pod(pod: Mapping[str, Any]) -> bool:
    """Containers are maps with names and metadata is a map: what the rest of the code takes for granted."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        return False
    if not all(_are_strings(metadata.get(field) or {}) for field in ("labels", "annotations")):
        return False
    if not _are_maps(metadata.get("ownerReferences") or []):
        return False
    parts = 0
    for field in ("containers", "initContainers", "volumes", "imagePullSecrets"):
        items = spec.get(field) or []
        if not _are_maps(items) or not all(isinstance(item.get("name"), str) for item in items):
            return False
        inner = [item.get(name) or [] for item in items for name in ("env", "ports", "volumeMounts")]
        if not all(_are_maps(one) for one in inner):
            return False
        parts += len(items) + sum(map(len, inner))
    return parts <= LARGEST_POD


def _are_strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _are_maps(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _allowed(question: PodQuestion, result: str, reason: str) -> Outcome:
    return Outcome(_review(question, {"uid": question.uid, "allowed": True}), result, reason)


def _refused(question: PodQuestion, error: MeshError) -> Outcome:
    status = {
        "status": "Failure",
        "message": str(error),
        "reason": ADMISSION_REASON[error.code],
        "code": HTTP_STATUS[error.code],
    }
    response = {"uid": question.uid, "allowed": False, "status": status}
    return Outcome(_review(question, response), "refused", str(error))


def _review(question: PodQuestion, response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": question.api_version, "kind": "AdmissionReview", "response": response}
