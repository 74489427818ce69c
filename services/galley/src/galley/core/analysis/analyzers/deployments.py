"""Deployments: services that disagree about their ports, and processes that run as the proxy's user."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import DEPLOYMENT, POD, SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    CONFLICTING_TARGET_PORTS,
    INVALID_APPLICATION_UID,
    SERVICES_WITH_DIFFERENT_PROTOCOLS,
)
from galley.core.analysis.reading import at, mapping, mappings, number, string_map, text
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import MANAGED_GATEWAY, PROXY_CONTAINER, containers, in_mesh, is_control_plane

_PROXY_UID = 1337
_WAYPOINT = "istio.io-mesh-controller"
_MAY_BE_THE_PROXY = frozenset({PROXY_CONTAINER, "istio-operator"})


def check_services(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Services in front of one deployment that use a port with different protocols, or a target port differently."""
    services: dict[str, list[tuple[Mapping[str, str], Resource]]] = {}
    for service in inputs.of(SERVICE):
        if selector := string_map(service.spec, "selector"):
            services.setdefault(service.namespace, []).append((selector, service))
    for deployment in inputs.of(DEPLOYMENT):
        template = mapping(deployment.spec, "template")
        labels, annotations = (
            string_map(template, "metadata", "labels"),
            string_map(template, "metadata", "annotations"),
        )
        found = containers(mapping(template, "spec"))
        if deployment.labels.get(MANAGED_GATEWAY) == _WAYPOINT:
            continue
        if in_mesh(found, labels, annotations, deployment.namespace, inputs):
            matching = [
                service for selector, service in services.get(deployment.namespace, ()) if selects(selector, labels)
            ]
            yield from _different_protocols(deployment, matching)
            yield from _different_ports(deployment, matching)


def _different_protocols(deployment: Resource, services: list[Resource]) -> Iterator[Message]:
    uses: dict[int, dict[str, list[str]]] = {}
    for service in services:
        for _, port in mappings(service.spec, "ports"):
            protocol = text(port, "protocol") or "TCP"
            uses.setdefault(number(port, "port"), {}).setdefault(protocol, []).append(service.full_name)
    for port_number, protocols in sorted(uses.items()):
        if len(protocols) > 1:
            names = sorted(name for found in protocols.values() for name in found)
            parameters = (deployment.name, port_number, names)
            yield Message(
                SERVICES_WITH_DIFFERENT_PROTOCOLS, deployment, parameters, deployment.line_of("metadata.name")
            )


def _different_ports(deployment: Resource, services: list[Resource]) -> Iterator[Message]:
    uses: dict[str, dict[int, str]] = {}
    for service in services:
        for _, port in mappings(service.spec, "ports"):
            target = at(port, "targetPort")
            shown = str(target) if target not in (None, 0, "", "0") else str(number(port, "port"))
            uses.setdefault(shown, {})[number(port, "port")] = service.full_name
    for target_port, ports in sorted(uses.items()):
        if len(ports) > 1:
            parameters = (deployment.name, sorted(ports.values()), target_port, sorted(ports))
            yield Message(CONFLICTING_TARGET_PORTS, deployment, parameters, deployment.line_of("metadata.name"))


def check_application_uid(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Applications that run as the user whose traffic is not captured."""
    for pod in inputs.of(POD):
        yield from _check_uid(pod, pod.spec, "spec")
    for deployment in inputs.of(DEPLOYMENT):
        yield from _check_uid(deployment, mapping(deployment.spec, "template", "spec"), "spec.template.spec")


def _check_uid(resource: Resource, pod_spec: Mapping[str, Any], path: str) -> Iterator[Message]:
    """At most one message for each object."""
    if is_control_plane(resource):
        return
    places = [(pod_spec, path)] + [
        (container, f"{path}.containers[{index}]")
        for index, container in mappings(pod_spec, "containers")
        if text(container, "name") not in _MAY_BE_THE_PROXY
    ]
    for value, place in places:
        if number(value, "securityContext", "runAsUser") == _PROXY_UID:
            line = resource.line_of(f"{place}.securityContext.runAsUser")
            yield Message(INVALID_APPLICATION_UID, resource, (), line)
            return
