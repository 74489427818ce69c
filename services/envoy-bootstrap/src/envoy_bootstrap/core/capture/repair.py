"""Pods that were started before the CNI plugin was on their node: which they are, and what is done about them. Pure.

Their first container looks for capture, finds none and ends with 126, again and again. Variables are Istio's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.labels import label_violations

from envoy_bootstrap.core.capture.texts import Kind, expected, is_true


class Remedy(StrEnum):
    """What is done about a broken pod; of several that are wanted the first counts."""

    REPAIR = "repair"
    DELETE = "delete"
    LABEL = "label"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """Whose pods are looked at (all nodes' where `node` is empty), how broken ones are known, and the remedy."""

    remedy: Remedy
    node: str
    label_key: str
    label_value: str
    annotation: str
    container: str
    message: str
    exit_code: int
    """0 is any."""


def parse_repair(environment: Mapping[str, str]) -> RepairConfig:
    """Istio's variables (`REPAIR_...`); INVALID names each that is wrong."""

    def said(name: str, default: str = "") -> str:
        return environment.get(f"REPAIR_{name}") or default

    key, value = said("BROKEN_POD_LABEL_KEY", "cni.istio.io/uninitialized"), said("BROKEN_POD_LABEL_VALUE", "true")
    code = said("INIT_CONTAINER_EXIT_CODE", "126")
    switches = {name: said(name, "false") for name in ("REPAIR_PODS", "DELETE_PODS", "LABEL_PODS")}
    switches["ENABLED"] = said("ENABLED", "true")
    wrong = {name: expected(Kind.BOOLEAN, text) for name, text in switches.items()}
    wrong["INIT_CONTAINER_EXIT_CODE"] = expected(Kind.PORT, code) and "a number of at most 65535"
    violations = label_violations({key: value}, "REPAIR_BROKEN_POD_LABEL")
    violations += [Violation(f"REPAIR_{name}", "is not valid", wanted) for name, wanted in wrong.items() if wanted]
    if violations:
        raise MeshError(ErrorCode.INVALID, "the repair of pods is told something wrong", violations)
    chosen = [remedy for remedy in Remedy if is_true(switches.get(f"{remedy.upper()}_PODS", ""))]
    return RepairConfig(
        remedy=chosen[0] if chosen and is_true(switches["ENABLED"]) else Remedy.NONE,
        node=said("NODE_NAME"),
        label_key=key,
        label_value=value,
        annotation=said("SIDECAR_ANNOTATION", "sidecar.istio.io/status"),
        container=said("INIT_CONTAINER_NAME", "istio-validation"),
        message=said("INIT_CONTAINER_TERMINATION_MESSAGE").strip(),
        exit_code=int(code),
    )


def is_broken(pod: Mapping[str, Any], config: RepairConfig) -> bool:
    """Whether its first container has ended without capture, and not come through since."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    if config.annotation not in (metadata.get("annotations") or {}):
        return False
    if config.node and spec.get("nodeName") != config.node:
        return False
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    return any(_has_failed(status, config) for status in statuses if status.get("name") == config.container)


def is_labelled(pod: Mapping[str, Any], config: RepairConfig) -> bool:
    """Whether somebody has labelled it already, with whatever value."""
    return config.label_key in ((pod.get("metadata") or {}).get("labels") or {})


def _has_failed(status: Mapping[str, Any], config: RepairConfig) -> bool:
    now = (status.get("state") or {}).get("terminated")
    if now is not None and (now.get("reason") == "Completed" or now.get("exitCode", 0) == 0):
        return False
    last = (status.get("lastState") or {}).get("terminated")
    if last is None:
        return False
    return config.exit_code in (0, last.get("exitCode")) and config.message in (
        "",
        str(last.get("message", "")).strip(),
    )
