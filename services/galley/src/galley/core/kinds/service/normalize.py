"""Defaults of a Service as the API server writes them."""

from typing import Any

from meshcore.model.core_v1 import Service

from galley.core.kind_rules import Document, Naming


def fill_defaults(document: Document) -> Document:
    """TCP, `targetPort` = `port`, ClusterIP, no affinity; what is not of the right type is left for the schema."""
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return document
    filled: dict[str, Any] = {"type": "ClusterIP", "sessionAffinity": "None", **spec}
    ports = spec.get("ports")
    if isinstance(ports, list):
        filled["ports"] = [_filled_port(port) if isinstance(port, dict) else port for port in ports]
    return {**document, "spec": filled}


def _filled_port(port: dict[str, Any]) -> dict[str, Any]:
    return {**port, "protocol": port.get("protocol", "TCP"), "targetPort": port.get("targetPort", port.get("port"))}


def normalize(service: Service, _: Naming) -> Service:
    """Every port says its target: the number, the name, or its own number."""
    ports = tuple(
        port if port.target_port is not None else port.model_copy(update={"target_port": port.port})
        for port in service.spec.ports
    )
    return service.model_copy(update={"spec": service.spec.model_copy(update={"ports": ports})})
