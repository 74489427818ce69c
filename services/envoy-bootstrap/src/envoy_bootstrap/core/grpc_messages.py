"""Istio's counts of gRPC messages: Envoy counts them by cluster, and the agent gives them Istio's names and labels.

Envoy's stats logger cannot: what its filter for gRPC has counted is in no command operator. So these two metrics know
the workload itself and the service that it calls, not single peers. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.workload_names import METRIC_LABELS, UNKNOWN, WorkloadNames, names_of

_COUNT = re.compile(
    r'^envoy_cluster_grpc_(?P<kind>request|response)_message_count\{[^}]*cluster_name="(?P<cluster>[^"]*)"[^}]*\} '
    r"(?P<value>\d+)$",
    re.MULTILINE,
)
_CLUSTER = re.compile(r"(?P<way>inbound|outbound)\|\d+\|[^|]*\|(?P<host>[^|]*)")
_SERVICE = re.compile(r"(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc\..*")


def node_names(node: Mapping[str, Any]) -> WorkloadNames:
    """What the workload of a node (`build_node`) is called."""
    metadata = node["metadata"]
    return names_of(
        str(metadata.get("WORKLOAD_NAME", "")),
        str(metadata["NAMESPACE"]),
        metadata.get("LABELS", {}),
        str(metadata.get("CLUSTER_ID", "")),
    )


def grpc_message_counts(envoy_metrics: str, own: WorkloadNames) -> str:
    """`istio_request_messages_total` and `istio_response_messages_total` as text for Prometheus; empty without any."""
    counts: Counter[tuple[str, str]] = Counter()
    for found in _COUNT.finditer(envoy_metrics):
        cluster = _CLUSTER.fullmatch(found["cluster"])
        if cluster is not None:  # subsets of a service are one series
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in _labels(cluster, own))
            counts[f"istio_{found['kind']}_messages_total", labels] += int(found["value"])
    lines = []
    for name in sorted({name for name, _ in counts}):
        lines.append(f"# TYPE {name} counter\n")
        lines += [f"{name}{{{labels}}} {counts[of, labels]}\n" for of, labels in sorted(counts) if of == name]
    return "".join(lines)


def _labels(cluster: re.Match[str], own: WorkloadNames) -> Iterator[tuple[str, str]]:
    calls = cluster["way"] == "outbound"
    side = "source" if calls else "destination"
    yield "reporter", side
    yield "request_protocol", "grpc"
    for end, field in METRIC_LABELS.items():
        yield f"{side}_{end}", getattr(own, field)
    if calls:
        service = _SERVICE.fullmatch(cluster["host"])
        yield "destination_service", cluster["host"]
        yield "destination_service_name", service["name"] if service else cluster["host"]
        yield "destination_service_namespace", service["namespace"] if service else UNKNOWN


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
