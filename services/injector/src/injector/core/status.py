"""What an earlier injection left in a pod, and how to take it out again. Pure.

The annotation `sidecar.istio.io/status` lists by name what was added; `proxy.istio.io/overrides` keeps what the user
had written under one of those names. With both, the pod as the user wrote it can be had back, so injecting twice is
injecting once.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

STATUS = "sidecar.istio.io/status"
OVERRIDES = "proxy.istio.io/overrides"

_LISTS = ("initContainers", "containers", "volumes", "imagePullSecrets")


def status_annotation(fragment_spec: Mapping[str, Any], revision: str) -> str:
    """The annotation's value for what a template adds; a list without names is null, as Istio writes it."""
    status: dict[str, Any] = {}
    for field in _LISTS:
        names = [item["name"] for item in fragment_spec.get(field) or ()]
        status[field] = names or None
    return json.dumps({**status, "revision": revision}, separators=(",", ":"))


def overrides_annotation(containers: Iterable[Any], init_containers: Iterable[Any]) -> str:
    """The annotation's value for containers of the user that bear a template's name; empty when there are none."""
    kept = {"containers": list(containers), "initContainers": list(init_containers)}
    kept = {field: items for field, items in kept.items() if items}
    return json.dumps(kept, separators=(",", ":")) if kept else ""


def strip(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The pod before its last injection; a pod without a readable status is returned as it is."""
    metadata = dict(pod.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    status = _read_object(annotations.pop(STATUS, ""))
    overrides = _read_object(annotations.pop(OVERRIDES, ""))
    if status is None:
        return dict(pod)
    spec = dict(pod.get("spec") or {})
    for field in _LISTS:
        names = status.get(field)
        if not isinstance(names, list) or field not in spec:
            continue
        left = [item for item in spec[field] or () if not isinstance(item, Mapping) or item.get("name") not in names]
        if left:
            spec[field] = left
        else:
            spec.pop(field)
    for field, items in (overrides or {}).items():
        if field in ("containers", "initContainers") and isinstance(items, list):
            spec[field] = [*(spec.get(field) or ()), *items]
    metadata["annotations"] = annotations
    return {**pod, "metadata": metadata, "spec": spec}


def _read_object(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
