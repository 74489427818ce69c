"""Whether a pod is captured by the CNI plugin, and its settings from annotations and the proxy's container. Pure.

As Istio's CNI plugin: the rules that the init container would apply, for pods with a sidecar that lack it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation

from envoy_bootstrap.core.capture.flags import read_flags
from envoy_bootstrap.core.capture.texts import Kind, expected, is_true, split

PROXY, INIT = "istio-proxy", "istio-init"
_STATUS, _INJECT = "sidecar.istio.io/status", "sidecar.istio.io/inject"
_MODE = "sidecar.istio.io/interceptionMode"
_TRAFFIC = "traffic.sidecar.istio.io/"
_OWN_INBOUND_PORTS = ("15020", "15021", "15090")
"""Ports of the agent and of Envoy that a kubelet and Prometheus speak to."""
_FLAGS = {
    _MODE: ("istio-inbound-interception-mode", Kind.MODE, "REDIRECT"),
    _TRAFFIC + "includeOutboundIPRanges": ("istio-service-cidr", Kind.CIDRS_OR_ALL, "*"),
    _TRAFFIC + "excludeOutboundIPRanges": ("istio-service-exclude-cidr", Kind.CIDRS, ""),
    _TRAFFIC + "includeInboundPorts": ("istio-inbound-ports", Kind.PORTS_OR_ALL, "*"),
    _TRAFFIC + "excludeInboundPorts": ("istio-local-exclude-ports", Kind.PORTS, "15020"),
    _TRAFFIC + "includeOutboundPorts": ("istio-outbound-ports", Kind.PORTS, ""),
    _TRAFFIC + "excludeOutboundPorts": ("istio-local-outbound-ports-exclude", Kind.PORTS, "15020"),
    _TRAFFIC + "excludeInterfaces": ("istio-exclude-interfaces", Kind.INTERFACES, ""),
    _TRAFFIC + "kubevirtInterfaces": ("kube-virt-interfaces", Kind.INTERFACES, ""),
    # the newer name of the one above comes last and wins
    "istio.io/reroute-virtual-interfaces": ("kube-virt-interfaces", Kind.INTERFACES, ""),
}
_FROM_ENVIRONMENT = {
    "ISTIO_META_DNS_CAPTURE": ("redirect-dns", "capture-all-dns"),
    "ISTIO_DUAL_STACK": ("dual-stack",),
    "INVALID_DROP": ("drop-invalid",),
}


def skip_reason(pod: Mapping[str, Any]) -> str | None:
    """Why a pod is left alone; None when it is to be captured."""
    containers = _containers(pod)
    annotations, labels = _texts(pod, "annotations"), _texts(pod, "labels")
    wish = labels.get(_INJECT, annotations.get(_INJECT, ""))
    if INIT in containers:
        return f"it has the container {INIT}"
    if PROXY not in containers:
        return f"it has no container {PROXY}"
    environment = _environment(containers[PROXY])
    arguments = tuple(containers[PROXY].get("args") or ())
    if is_true(environment.get("DISABLE_ENVOY", "")):
        return "its proxy is without Envoy"
    if len(arguments) > 1 and arguments[0] == "proxy" and arguments[1] != "sidecar":
        return f"its proxy is a {arguments[1]}"
    if wish and expected(Kind.BOOLEAN, wish) is None and not is_true(wish):
        return "it wants no sidecar"
    if _STATUS not in annotations:
        return "nobody has injected a sidecar"
    return None


def flags_of_pod(pod: Mapping[str, Any]) -> Mapping[str, str]:
    """The settings of a pod that is captured, as `read_flags` gives them; INVALID names each wrong annotation."""
    return read_flags(told_by_pod(pod), {})


def told_by_pod(pod: Mapping[str, Any]) -> Mapping[str, str]:
    """The flags of istio-iptables that say the same; INVALID names each wrong annotation."""
    annotations = _texts(pod, "annotations")
    proxy = _containers(pod)[PROXY]
    environment = _environment(proxy)
    given: dict[str, str] = {}
    violations = []
    for name, (flag, kind, default) in _FLAGS.items():
        if name not in annotations:
            given.setdefault(flag, default)
            continue
        text = annotations[name].strip(" ")
        wanted = expected(kind, text)
        if wanted is None and name == _MODE and not text:
            wanted = "REDIRECT or TPROXY"
        if wanted is not None:
            violations.append(Violation(f"metadata.annotations[{name}]", f"{text[:60]!a} is not valid", wanted))
        given[flag] = text
    if violations:
        raise MeshError(ErrorCode.INVALID, "the pod's annotations cannot be captured by", violations)
    excluded = (*split(given["istio-local-exclude-ports"]), *_OWN_INBOUND_PORTS)
    given["istio-local-exclude-ports"] = ",".join(dict.fromkeys(excluded))
    for name, flags in _FROM_ENVIRONMENT.items():
        given |= dict.fromkeys(flags, str(is_true(environment.get(name, ""))).lower())
    security = proxy.get("securityContext") or {}
    # root is who a proxy with TPROXY runs as, and everybody's traffic would be let go
    for flag, field in (("proxy-uid", "runAsUser"), ("proxy-gid", "runAsGroup")):
        given[flag] = str(security.get(field) or 1337)
    return given


def _containers(pod: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    spec = pod.get("spec") or {}
    found: Iterable[Mapping[str, Any]] = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return {str(container.get("name")): container for container in found}


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {str(item.get("name")): str(item.get("value") or "") for item in container.get("env") or ()}


def _texts(pod: Mapping[str, Any], field: str) -> dict[str, str]:
    found = (pod.get("metadata") or {}).get(field) or {}
    return {str(name): str(value) for name, value in found.items()}
