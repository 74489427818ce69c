"""Sidecar injection: namespaces without it or with contradicting labels, and pods that should have a proxy."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, put_entry, remove
from galley.core.analysis.inputs import ROOT_NAMESPACE, Inputs, injector_config_map
from galley.core.analysis.kinds import CONFIG_MAP, NAMESPACE, POD
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    INJECTED_BY_DEFAULT,
    NAMESPACE_NOT_INJECTED,
    POD_MISSING_PROXY,
    SEVERAL_INJECTION_LABELS,
)
from galley.core.analysis.reading import at
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import (
    AMBIENT,
    DATAPLANE_MODE,
    INJECT,
    INJECTION_LABEL,
    REVISION_LABEL,
    containers,
    proxy_image,
)


def check_injection(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Labels of namespaces, and the pods of those that are injected."""
    injected: set[str] = set()
    for namespace in inputs.of(NAMESPACE):
        if namespace.name == ROOT_NAMESPACE:
            continue
        yield from _check_labels(namespace)
        if namespace.labels.get(DATAPLANE_MODE) == AMBIENT:
            continue
        if not namespace.labels.get(INJECTION_LABEL) and REVISION_LABEL not in namespace.labels:
            yield _not_injected(namespace, inputs)
        elif namespace.labels.get(INJECTION_LABEL) == "enabled":
            injected.add(namespace.name)
    for pod in inputs.of(POD):
        if pod.namespace in injected and _lacks_proxy(pod):
            fix = Fix("Restart its workload: the proxy is added when the pod is created.")
            yield Message(POD_MISSING_PROXY, pod, (pod.full_name,), 0, fix)


def _check_labels(namespace: Resource) -> Iterator[Message]:
    injection = namespace.labels.get(INJECTION_LABEL)
    found = [INJECTION_LABEL] if injection is not None else []
    if injection in (None, "enabled"):
        found += [label for label in (REVISION_LABEL, DATAPLANE_MODE) if label in namespace.labels]
    if len(found) > 1:
        shown = [f"{label}={namespace.labels[label]}" for label in found]
        patch = tuple(remove("metadata", "labels", label) for label in found[1:])
        fix = Fix(f"Keep {shown[0]} alone, if that is what was meant.", patch)
        yield Message(SEVERAL_INJECTION_LABELS, namespace, (shown,), namespace.line_of("metadata.labels"), fix)


def _not_injected(namespace: Resource, inputs: Inputs) -> Message:
    if _by_default(inputs):
        return Message(INJECTED_BY_DEFAULT, namespace)
    patch = put_entry(namespace.body, INJECTION_LABEL, "enabled", "metadata", "labels")
    fix = Fix("Have sidecars injected into it.", patch)
    line = namespace.line_of("metadata.name")
    return Message(NAMESPACE_NOT_INJECTED, namespace, (namespace.name,), line, fix)


def _by_default(inputs: Inputs) -> bool:
    """Whether the injector takes namespaces without any label."""
    return any(
        at(inputs.injector_values(config_map), "sidecarInjectorWebhook", "enableNamespacesByDefault") is True
        for config_map in inputs.of(CONFIG_MAP)
        if config_map.name == injector_config_map("")
    )


def _lacks_proxy(pod: Resource) -> bool:
    said = pod.labels.get(INJECT, pod.annotations.get(INJECT, ""))
    if said.lower() == "false" or at(pod.spec, "hostNetwork") is True:
        return False
    return not proxy_image(containers(pod.spec, "containers", "initContainers"))
