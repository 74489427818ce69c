"""Application probes sent through the agent, so that kubelet's plain requests survive STRICT mTLS. Pure.

An `httpGet`, `tcpSocket` or `grpc` probe (and a life-cycle handler) of an application container becomes an `httpGet` on
the agent's status port at `/app-health/<container>/<livez|readyz|startupz>` or
`/app-lifecycle/<container>/<prestopz|poststartz>`; what it was travels to the agent in ISTIO_KUBE_APP_PROBERS.
A probe that already points there is left alone: rewriting twice is rewriting once.
"""

from collections.abc import Mapping
from typing import Any

REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"
APP_PROBERS_ENV = "ISTIO_KUBE_APP_PROBERS"

_PROBES = {"livenessProbe": "livez", "readinessProbe": "readyz", "startupProbe": "startupz"}
_HOOKS = {"preStop": "prestopz", "postStart": "poststartz"}
_OURS = ("/app-health/", "/app-lifecycle/")


def should_rewrite(annotations: Mapping[str, str], by_default: bool) -> bool:
    """The annotation when it is there, else the installation's value."""
    return annotations[REWRITE] == "true" if REWRITE in annotations else by_default


def rewrite_container(container: Mapping[str, Any], status_port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container with its probes on `status_port`, and the probes as they were, by path of the agent."""
    rewritten, probers = dict(container), dict[str, Any]()
    name = container["name"]
    for field, suffix in _PROBES.items():
        probe = container.get(field)
        if isinstance(probe, Mapping) and (original := _original(probe, container)) is not None:
            path = f"/app-health/{name}/{suffix}"
            if (timeout := probe.get("timeoutSeconds")) is not None:
                original = {**original, "timeoutSeconds": timeout}
            probers[path] = original
            rewritten[field] = _redirected(probe, path, status_port)
    lifecycle = container.get("lifecycle")
    if isinstance(lifecycle, Mapping):
        hooks = dict(lifecycle)
        for field, suffix in _HOOKS.items():
            hook = lifecycle.get(field)
            if isinstance(hook, Mapping) and (original := _original(hook, container)) is not None:
                path = f"/app-lifecycle/{name}/{suffix}"
                probers[path] = original
                hooks[field] = _redirected(hook, path, status_port)
        rewritten["lifecycle"] = hooks
    return rewritten, probers


def _original(probe: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the agent must do instead of kubelet; None when kubelet's own way works or cannot be told."""
    for kind in ("httpGet", "tcpSocket", "grpc"):
        action = probe.get(kind)
        if not isinstance(action, Mapping):
            continue
        if str(action.get("path", "")).startswith(_OURS):
            return None
        port = _number(action.get("port"), container)
        if port is None:
            return None
        # headers stay on kubelet's request, which the agent passes on
        return {kind: {**{key: value for key, value in action.items() if key != "httpHeaders"}, "port": port}}
    return None


def _number(port: Any, container: Mapping[str, Any]) -> int | None:
    if isinstance(port, int):
        return port
    named = (item for item in container.get("ports") or () if item.get("name") == port)
    return next((int(item["containerPort"]) for item in named), None)


def _redirected(probe: Mapping[str, Any], path: str, status_port: int) -> dict[str, Any]:
    kept = {key: value for key, value in probe.items() if key not in ("httpGet", "tcpSocket", "grpc")}
    target: dict[str, Any] = {"path": path, "port": status_port}
    if headers := (probe.get("httpGet") or {}).get("httpHeaders"):
        target["httpHeaders"] = headers
    return {**kept, "httpGet": target}
