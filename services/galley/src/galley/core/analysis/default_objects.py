"""What Istio itself brings into every cluster and no file of config repeats: the ingress gateway."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.model.load import Document

from galley.core.analysis.inputs import ROOT_NAMESPACE
from galley.core.analysis.reading import text
from galley.core.analysis.resource import Resource, resources_of

_INGRESS_PORTS = {"http2": 80, "https": 443, "tcp": 31400, "tls": 15443}


def default_objects(mesh_config: Mapping[str, Any], namespace: str = ROOT_NAMESPACE) -> Iterator[Resource]:
    """A pod and the Service of the ingress gateway, unless the mesh's config turns ingress off."""
    if text(mesh_config, "ingressControllerMode") == "OFF":
        return
    name = text(mesh_config, "ingressService") or "istio-ingressgateway"
    labels = {"istio": "ingressgateway"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-dummypod", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy"}]},
    }
    ports = [
        {"name": port, "port": number, "protocol": "TCP", "targetPort": number}
        for port, number in _INGRESS_PORTS.items()
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports, "selector": labels},
    }
    yield from resources_of((Document("", 0, body) for body in (pod, service)), from_file=False)
