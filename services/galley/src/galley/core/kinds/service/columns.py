"""What `kubectl get services` prints."""

from galley.core.kube_api.columns import short_list, value_at
from galley.core.kube_api.tables import Column, Document


def _text(*path: str, otherwise: str = "<none>") -> Column:
    name = {"type": "Type", "clusterIP": "Cluster-IP"}[path[-1]]
    return Column(name, lambda document: value_at(document, *path) or otherwise)


def _external(document: Document) -> str:
    spec = document.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    return short_list(list(spec.get("externalIPs") or ()))


def _ports(document: Document) -> str:
    ports = value_at(document, "spec", "ports") or []
    shown = [
        f"{port['port']}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
        if port.get("nodePort")
        else f"{port['port']}/{port.get('protocol', 'TCP')}"
        for port in ports
    ]
    return ",".join(shown) or "<none>"


def _selector(document: Document) -> str:
    selector = value_at(document, "spec", "selector") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "<none>"


COLUMNS = (
    _text("spec", "type", otherwise="ClusterIP"),
    _text("spec", "clusterIP"),
    Column("External-IP", _external),
    Column("Port(s)", _ports),
    Column("Selector", _selector, wide=True),
)
