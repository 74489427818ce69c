"""What `kubectl get ingresses` prints."""

from galley.core.kinds.ingress.validate import CLASS_ANNOTATION
from galley.core.kube_api.columns import short_list, value_at
from galley.core.kube_api.tables import Column, Document


def _class(document: Document) -> str:
    annotations = value_at(document, "metadata", "annotations") or {}
    return str(value_at(document, "spec", "ingressClassName") or annotations.get(CLASS_ANNOTATION) or "<none>")


def _hosts(document: Document) -> str:
    named = [str(rule["host"]) for rule in value_at(document, "spec", "rules") or () if rule.get("host")]
    return short_list(named) if named else "*"


def _addresses(document: Document) -> str:
    found = value_at(document, "status", "loadBalancer", "ingress") or ()
    return ",".join(str(item.get("ip") or item.get("hostname") or "") for item in found)


def _ports(document: Document) -> str:
    return "80, 443" if value_at(document, "spec", "tls") else "80"


COLUMNS = (
    Column("Class", _class),
    Column("Hosts", _hosts),
    Column("Address", _addresses),
    Column("Ports", _ports),
)
