"""Gateways against the workloads and services that they run on, and against each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs, selector_text
from galley.core.analysis.kinds import GATEWAY, POD, SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import DUPLICATE_CERTIFICATE, GATEWAY_PORT_NOT_ON_SERVICE, NOT_FOUND
from galley.core.analysis.reading import at, mapping, mappings, number, string_map, text
from galley.core.analysis.resource import Resource

Labels = Mapping[str, str]


def selector_line(gateway: Resource, selector: Labels) -> int:
    """The line of the first label of its selector."""
    return gateway.line_of(f"spec.selector[{sorted(selector)[0]}]") if selector else 0


def selector_not_found(gateway: Resource, selector: Labels) -> Message:
    """No workload has the labels that the gateway selects."""
    return Message(NOT_FOUND, gateway, ("selector", selector_text(selector)), selector_line(gateway, selector))


def check_ports(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Ports of a gateway that no service of its pods has."""
    ports = _ServicePorts(inputs)
    for gateway in inputs.of(GATEWAY):
        selector = string_map(gateway.spec, "selector")
        known = ports.of(selector)
        if known is None:
            if not _selects_other_workload(selector, inputs):
                yield selector_not_found(gateway, selector)
            continue
        for _index, server in mappings(gateway.spec, "servers"):
            if not isinstance(server.get("port"), Mapping):
                continue
            port = number(server, "port", "number")
            if port not in known:
                fix = Fix(f"Use a port of the service ({_listed(known)}), or add port {port} to it.")
                line = selector_line(gateway, selector)
                yield Message(GATEWAY_PORT_NOT_ON_SERVICE, gateway, (port, selector_text(selector)), line, fix)


def _selects_other_workload(selector: Labels, inputs: Inputs) -> bool:
    return any(selects(selector, labels) for found in inputs.workload_labels.values() for labels in found)


def _listed(ports: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(ports))) or "it has none"


class _ServicePorts:
    """Ports and target ports of the services of the pods with some labels; asked for once for each selector."""

    def __init__(self, inputs: Inputs) -> None:
        self._pods = inputs.of(POD)
        self._known: dict[str, frozenset[int] | None] = {}
        self._services: dict[str, list[tuple[Labels, Resource]]] = {}
        for service in inputs.of(SERVICE):
            selector = string_map(service.spec, "selector")
            self._services.setdefault(service.namespace, []).append((selector, service))

    def of(self, selector: Labels) -> frozenset[int] | None:
        """None when there is no such pod."""
        key = selector_text(selector)
        if key not in self._known:
            pods = [pod for pod in self._pods if selects(selector, pod.labels)]
            self._known[key] = frozenset(port for pod in pods for port in self._of_pod(pod)) if pods else None
        return self._known[key]

    def _of_pod(self, pod: Resource) -> Iterator[int]:
        for service_selector, service in self._services.get(pod.namespace, ()):
            if selects(service_selector, pod.labels):
                for _, port in mappings(service.spec, "ports"):
                    if text(port, "protocol") in ("", "TCP"):
                        target = number({"port": at(port, "targetPort")}, "port")
                        yield number(port, "port")
                        yield target or number(port, "port")


def check_certificates(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Gateways of the same workloads that serve the same certificate."""
    by_certificate: dict[tuple[str, ...], list[tuple[Resource, Labels]]] = {}
    for gateway in inputs.of(GATEWAY):
        selector = string_map(gateway.spec, "selector")
        for certificate in dict.fromkeys(_certificates(gateway.spec)):
            by_certificate.setdefault(certificate, []).append((gateway, selector))
    for gateways in by_certificate.values():
        for gateway, labels in gateways:
            for other, other_labels in gateways:
                if other is not gateway and selects(labels, other_labels):
                    names = [gateway.full_name, other.full_name]
                    fix = Fix(f"Serve the hosts of both by one Gateway, or give {gateway.name} its own certificate.")
                    yield Message(DUPLICATE_CERTIFICATE, gateway, (names,), gateway.line_of("metadata.name"), fix)


def _certificates(spec: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for _, server in mappings(spec, "servers"):
        tls = mapping(server, "tls")
        name, certificate, key = text(tls, "credentialName"), text(tls, "serverCertificate"), text(tls, "privateKey")
        if name:
            yield ("secret", name)
        elif certificate and key:
            yield ("files", certificate, key)
