"""What a workload is called in metrics, traces and endpoints, in Istio's words. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

UNKNOWN = "unknown"
NAME_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
REVISION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
"""The labels that name a workload, and its version, the first one first."""
METRIC_LABELS: Mapping[str, str] = {
    "workload": "workload",
    "workload_namespace": "namespace",
    "canonical_service": "canonical_service",
    "canonical_revision": "canonical_revision",
    "cluster": "cluster",
    "app": "app",
    "version": "version",
}
"""How the labels of metrics end behind `source_` and `destination_`, and the field of `WorkloadNames` that each has."""


class WorkloadNames(NamedTuple):
    """One workload; `unknown` for what it does not say."""

    workload: str
    namespace: str
    canonical_service: str
    canonical_revision: str
    cluster: str
    app: str
    version: str


def names_of(workload: str, namespace: str, labels: Mapping[str, str], cluster: str) -> WorkloadNames:
    """The names of a workload, whose own may be empty."""
    name = canonical_name(labels, workload) or UNKNOWN
    return WorkloadNames(
        workload or name,
        namespace,
        name,
        canonical_revision(labels),
        cluster or UNKNOWN,
        labels.get("app") or UNKNOWN,
        labels.get("version") or UNKNOWN,
    )


def canonical_name(labels: Mapping[str, str], workload: str) -> str:
    """Istio's canonical service: the first of three labels, else the workload's name."""
    return next((labels[label] for label in NAME_LABELS if labels.get(label)), workload)


def canonical_revision(labels: Mapping[str, str]) -> str:
    """Istio's canonical revision: the first of three labels, else `latest`."""
    return next((labels[label] for label in REVISION_LABELS if labels.get(label)), "latest")
