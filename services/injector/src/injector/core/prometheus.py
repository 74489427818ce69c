"""Prometheus annotations of a pod, turned towards the agent's merged metrics. Pure.

What the application said (port, path, several targets) travels to the agent in ISTIO_PROMETHEUS_ANNOTATIONS; the pod
then says 15020 `/stats/prometheus`, where one scrape gets application, Envoy and agent.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation

MERGE = "prometheus.istio.io/merge-metrics"
TARGETS = "prometheus.istio.io/scrape-targets"
PROMETHEUS_ENV = "ISTIO_PROMETHEUS_ANNOTATIONS"
MERGED_PATH = "/stats/prometheus"
RESERVED_PORTS = frozenset({15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090})

_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")
_NAMES = {"prometheus_io_scrape": "scrape", "prometheus_io_port": "port", "prometheus_io_path": "path"}


@dataclass(frozen=True)
class MergedMetrics:
    """`annotations` of the pod from now on, and what the agent must know of the application (None: nothing)."""

    annotations: Mapping[str, str]
    application: Mapping[str, Any] | None


def merge_metrics(
    annotations: Mapping[str, str], status_port: int, *, by_default: bool, previous: str = ""
) -> MergedMetrics:
    """Redirect the pod's scrape to `status_port` of the agent.

    `previous` is the agent's variable of an earlier injection of the same pod.

    INVALID when a target is a port of the sidecar itself: the merged page would contain itself.
    """
    wanted = annotations[MERGE] == "true" if MERGE in annotations else by_default
    said = {_NAMES[key]: value for name, value in annotations.items() if (key := _UNSAFE.sub("_", name)) in _NAMES}
    if not wanted or said.get("scrape") == "false":
        return MergedMetrics(annotations, None)
    if said.get("port") == str(status_port) and said.get("path") == MERGED_PATH:
        return MergedMetrics(annotations, _read(previous))
    targets = _targets(annotations.get(TARGETS, ""))
    _refuse_own_ports([*(target["port"] for target in targets), said.get("port", "")], status_port)
    application: dict[str, Any] | None = None
    if said or targets:
        # an agent that knows one target only takes the first
        first = targets[0] if targets else {}
        application = {"scrape": said.get("scrape", "true" if targets else "")}
        application |= {field: said.get(field) or first.get(field, "") for field in ("path", "port")}
        if targets:
            application["targets"] = targets
    dropped = {*_NAMES, _UNSAFE.sub("_", TARGETS)}
    kept = {name: value for name, value in annotations.items() if _UNSAFE.sub("_", name) not in dropped}
    ours = {"prometheus.io/port": str(status_port), "prometheus.io/path": MERGED_PATH, "prometheus.io/scrape": "true"}
    return MergedMetrics({**kept, **ours}, application)


def _targets(text: str) -> list[dict[str, str]]:
    targets = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        port, _, path = item.partition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535):
            field = f"metadata.annotations[{TARGETS}]"
            raise MeshError(
                ErrorCode.INVALID,
                "invalid sidecar annotations",
                [Violation(field, f"{item!a} is not a target", "port:path,port:path")],
            )
        targets.append({"port": port, "path": path or "/metrics"})
    return targets


def _refuse_own_ports(ports: list[str], status_port: int) -> None:
    reserved = {str(port) for port in RESERVED_PORTS | {status_port}}
    if own := sorted(reserved.intersection(ports)):
        raise MeshError(
            ErrorCode.INVALID,
            "invalid sidecar annotations",
            [Violation("metadata.annotations", f"metrics port {port} belongs to the sidecar") for port in own],
        )


def _read(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
