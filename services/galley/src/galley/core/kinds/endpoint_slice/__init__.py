"""EndpointSlice (discovery.k8s.io/v1): a part of a Service's endpoints."""

from typing import Any

from meshcore.model.kinds import DISCOVERY

from galley.core.kind_rules import Document, KindRules
from galley.core.kinds.endpoint_slice.validate import validate
from galley.core.kube_api.columns import field, short_list
from galley.core.kube_api.tables import Column


def fill_defaults(document: Document) -> Document:
    """Ports have a protocol and a name; clients fail on ones that have not."""
    ports = document.get("ports")
    if not isinstance(ports, list):
        return document
    filled: list[Any] = [{"name": "", "protocol": "TCP", **port} if isinstance(port, dict) else port for port in ports]
    return {**document, "ports": filled}


def _ports(document: Document) -> str:
    return short_list([str(port.get("port", "*")) for port in document.get("ports") or ()])


def _endpoints(document: Document) -> str:
    return short_list([text for item in document.get("endpoints") or () for text in item.get("addresses") or ()])


RULES = KindRules(
    DISCOVERY,
    "EndpointSlice",
    validate=validate,
    fill_defaults=fill_defaults,
    columns=(field("AddressType", "addressType"), Column("Ports", _ports), Column("Endpoints", _endpoints)),
    strategic_merge_keys={},
    keeps_history=False,
    unconditional_update=True,
)
