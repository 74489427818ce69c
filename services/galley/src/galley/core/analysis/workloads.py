"""Whether workloads and namespaces are in the mesh, and by which means."""

from collections.abc import Mapping
from typing import Any

from galley.core.analysis.inputs import Inputs
from galley.core.analysis.reading import mappings, text
from galley.core.analysis.resource import Resource

PROXY_CONTAINER = "istio-proxy"
INJECTION_LABEL = "istio-injection"
REVISION_LABEL = "istio.io/rev"
INJECT = "sidecar.istio.io/inject"
DATAPLANE_MODE = "istio.io/dataplane-mode"
AMBIENT = "ambient"
MANAGED_GATEWAY = "gateway.istio.io/managed"
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


def containers(pod_spec: Mapping[str, Any], *lists: str) -> list[Mapping[str, Any]]:
    """The containers of a pod's spec, from the lists named (`containers` alone by default)."""
    return [container for key in lists or ("containers",) for _, container in mappings(pod_spec, key)]


def proxy_image(found: list[Mapping[str, Any]]) -> str:
    """The image of the first proxy container; empty without one."""
    return next((text(container, "image") for container in found if text(container, "name") == PROXY_CONTAINER), "")


def pod_in_mesh(pod: Resource, inputs: Inputs) -> bool:
    """Whether a pod has a sidecar or would get one."""
    found = containers(pod.spec, "containers", "initContainers")
    return in_mesh(found, pod.labels, pod.annotations, pod.namespace, inputs)


def in_mesh(
    found: list[Mapping[str, Any]],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    namespace: str,
    inputs: Inputs,
) -> bool:
    """A proxy container, else the workload's own word, else that of its namespace."""
    if proxy_image(found):
        return True
    for said in (labels, annotations):
        if INJECT in said:
            return said[INJECT] == "true"
    home = inputs.namespace(namespace)
    return home is not None and home.labels.get(INJECTION_LABEL) == "enabled"


def pod_is_ambient(pod: Resource) -> bool:
    """Whether ztunnel handles the pod's traffic."""
    return pod.annotations.get("ambient.istio.io/redirection") == "enabled"


def namespace_is_ambient(namespace: Resource | None) -> bool:
    """Whether pods of the namespace are ambient; a label of sidecar injection wins."""
    if namespace is None or namespace.labels.get(INJECTION_LABEL) == "enabled" or namespace.labels.get(REVISION_LABEL):
        return False
    return namespace.labels.get(DATAPLANE_MODE) == AMBIENT


def is_control_plane(resource: Resource) -> bool:
    """Whether it is a part of Istio itself."""
    return "istio" in resource.labels or resource.labels.get("release") == "istio"
