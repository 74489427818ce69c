"""One pod in, the pod with its sidecar out. Pure.

Steps, in order: check the annotations; take out what an earlier injection put in; rewrite probes and metrics
annotations; render the templates; merge them onto the pod; let the user's own `istio-proxy` container win over the
template's, field by field; set labels, annotations and status; order the containers. Invariants (tests in
`tests/core/test_inject.py`): the input is not changed; injecting twice gives what injecting once gave; nothing of the
application's containers changes but probes and life-cycle hooks.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from injector.core.annotations import require_valid
from injector.core.app_probes import APP_PROBERS_ENV, rewrite_container, should_rewrite
from injector.core.context import PROXY_CONTAINER, PodFacts, template_context
from injector.core.merge import strategic_merge
from injector.core.prometheus import PROMETHEUS_ENV, merge_metrics
from injector.core.status import OVERRIDES, STATUS, overrides_annotation, status_annotation, strip
from injector.core.template import render_template
from injector.core.workload_labels import mesh_labels

TEMPLATES = "inject.istio.io/templates"
_INIT, _VALIDATION = "istio-init", "istio-validation"


def inject_pod(facts: PodFacts) -> dict[str, Any]:
    """The injected pod; INVALID says which annotation, template or name cannot be honoured."""
    try:
        return _inject(facts)
    except RecursionError:
        raise MeshError(ErrorCode.INVALID, "the pod is nested too deeply") from None


def _inject(facts: PodFacts) -> dict[str, Any]:
    require_valid(facts.annotations)
    previous = _proxy_environment(facts.pod)
    pod = copy.deepcopy(strip(facts.pod))
    pod["spec"] = dict(pod.get("spec") or {})
    facts = replace(facts, pod=pod)

    probers = _rewrite_probes(pod, facts, previous.get(APP_PROBERS_ENV, ""))
    metrics = merge_metrics(
        facts.annotations,
        facts.metrics_port,
        by_default=facts.config.mesh.get("enablePrometheusMerge", True) is not False,
        previous=previous.get(PROMETHEUS_ENV, ""),
    )
    own = {field: _named(pod["spec"].get(field), PROXY_CONTAINER) for field in ("containers", "initContainers")}
    own_proxy = next((container for container in own.values() if container), None)
    context = template_context(facts, app_probers=probers, prometheus=metrics.application, own_proxy=own_proxy)
    fragment = _render(facts, context)

    injected = _merge(pod, fragment)
    fragment_spec = fragment.get("spec") or {}
    _set_metadata(injected, pod, facts, metrics.annotations, fragment_spec)
    _order(injected["spec"], native=facts.native_sidecar, hold=facts.hold_application)
    return injected


def _render(facts: PodFacts, context: Mapping[str, Any]) -> dict[str, Any]:
    config = facts.config
    wish = facts.annotations.get(TEMPLATES)
    names = [name.strip() for name in wish.split(",")] if wish else list(config.default_templates)
    fragment: dict[str, Any] = {}
    for name in names:
        for template in config.aliases.get(name, (name,)):
            if template not in config.templates:
                known = ", ".join(sorted({*config.templates, *config.aliases}))
                raise MeshError(ErrorCode.INVALID, f"there is no injection template {template!a} (known: {known})")
            fragment = strategic_merge(fragment, render_template(template, config.templates[template], context))
    return fragment


def _merge(pod: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    """Template onto pod; a container that both name is the template's with the user's fields over it."""
    spec = dict(pod["spec"])
    fragment_spec = dict(fragment.get("spec") or {})
    overrides: dict[str, list[Any]] = {"containers": [], "initContainers": []}
    for field in overrides:
        finished = []
        for container in fragment_spec.get(field) or ():
            # a native sidecar stands among the init containers, its user's wishes may stand among the containers
            for place in (field, *(other for other in overrides if other != field)):
                if theirs := _named(spec.get(place), container["name"]):
                    spec[place] = [item for item in spec[place] if item is not theirs]
                    wishes = {key: value for key, value in theirs.items() if (key, value) != ("image", "auto")}
                    overrides[field].append(wishes)
                    container = strategic_merge(container, wishes)
                    break
            finished.append(container)
        if finished:
            fragment_spec[field] = finished
    merged: dict[str, Any] = strategic_merge({**pod, "spec": spec}, {**fragment, "spec": fragment_spec})
    if text := overrides_annotation(overrides["containers"], overrides["initContainers"]):
        merged["metadata"] = strategic_merge(merged.get("metadata") or {}, {"annotations": {OVERRIDES: text}})
    return merged


def _rewrite_probes(pod: dict[str, Any], facts: PodFacts, previous: str) -> dict[str, Any]:
    webhook = facts.config.values["sidecarInjectorWebhook"]
    if facts.status_port == 0 or not should_rewrite(facts.annotations, bool(webhook["rewriteAppHTTPProbe"])):
        return {}
    from_before = _json_object(previous)
    probers: dict[str, Any] = {}
    for field in ("containers", "initContainers"):
        rewritten = []
        for container in pod["spec"].get(field) or ():
            if container.get("name") == PROXY_CONTAINER:
                rewritten.append(container)
                continue
            new, found = rewrite_container(container, facts.status_port)
            kept = (f"/app-health/{new['name']}/", f"/app-lifecycle/{new['name']}/")
            probers |= {path: probe for path, probe in from_before.items() if path.startswith(kept)} | found
            rewritten.append(new)
        if rewritten:
            pod["spec"][field] = rewritten
    return dict(sorted(probers.items()))


def _set_metadata(
    injected: dict[str, Any],
    pod: Mapping[str, Any],
    facts: PodFacts,
    annotations: Mapping[str, str],
    fragment_spec: Mapping[str, Any],
) -> None:
    metadata = dict(injected.get("metadata") or {})
    added = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in ((pod.get("metadata") or {}).get("annotations") or {})
    }
    app_container = next((c["name"] for c in pod["spec"].get("containers") or () if c["name"] != PROXY_CONTAINER), None)
    defaults = (
        {}
        if app_container is None
        else {
            "kubectl.kubernetes.io/default-container": app_container,
            "kubectl.kubernetes.io/default-logs-container": app_container,
        }
    )
    ours = {"istio.io/rev": facts.config.revision, STATUS: status_annotation(fragment_spec, facts.config.revision)}
    if OVERRIDES in added:
        ours[OVERRIDES] = added[OVERRIDES]
    merged = {**defaults, **annotations, **added, **facts.config.injected_annotations}
    metadata["annotations"] = {key: value for key, value in merged.items() if key not in ours} | ours
    metadata["labels"] = mesh_labels(metadata.get("labels") or {}, facts.workload.name, facts.network)
    injected["metadata"] = metadata


def _order(spec: dict[str, Any], *, native: bool, hold: bool) -> None:
    """Native: capture first, then the proxy, then the user's. Otherwise: the user's init steps before capture."""
    init = spec.get("initContainers")
    if init:
        ranks = {_VALIDATION: 0, _INIT: 0, PROXY_CONTAINER: 1} if native else {_VALIDATION: 0, _INIT: 3}
        spec["initContainers"] = sorted(init, key=lambda container: ranks.get(container.get("name"), 2))
    containers = spec.get("containers")
    if containers:
        proxy_rank = -1 if hold else 1
        spec["containers"] = sorted(
            containers, key=lambda container: proxy_rank if container.get("name") == PROXY_CONTAINER else 0
        )


def _named(containers: Any, name: str) -> dict[str, Any] | None:
    return next((item for item in containers or () if item.get("name") == name), None)


def _proxy_environment(pod: Mapping[str, Any]) -> dict[str, str]:
    spec = pod.get("spec") or {}
    if STATUS not in ((pod.get("metadata") or {}).get("annotations") or {}):
        return {}
    proxy = _named(spec.get("containers"), PROXY_CONTAINER) or _named(spec.get("initContainers"), PROXY_CONTAINER)
    return {item["name"]: item["value"] for item in (proxy or {}).get("env") or () if "value" in item}


def _json_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
