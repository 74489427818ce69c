"""The config objects that every stack begins with. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshctl.core.topology import PROXY_HTTP_PORT
from meshctl.core.workloads import Workload

ROOT_NAMESPACE = "istio-system"
TOKEN_AUDIENCE = "istio-ca"
TOKEN_SECONDS = 3600
"""Long enough for a proxy to start; its certificate renews itself from then on."""


def mesh_config_map(trust_domain: str, proxy_http_port: int | None = PROXY_HTTP_PORT) -> dict[str, Any]:
    """ConfigMap `istio`: the settings of a stack; with metrics by default, as in Istio's chart.

    Without a port for a mesh HTTP proxy traffic is captured.
    """
    mesh = f"rootNamespace: {ROOT_NAMESPACE}\ntrustDomain: {trust_domain}\n"
    mesh += "" if proxy_http_port is None else f"proxyHttpPort: {proxy_http_port}\n"
    mesh += "defaultProviders:\n  metrics: [prometheus]\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": ROOT_NAMESPACE},
        "data": {"mesh": mesh},
    }


def namespace(name: str) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service_account(namespace_name: str, name: str) -> dict[str, Any]:
    """A ServiceAccount."""
    metadata = {"name": name, "namespace": namespace_name}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def first_objects(trust_domain: str, proxy_http_port: int | None = PROXY_HTTP_PORT) -> list[dict[str, Any]]:
    """What every stack is given where it is missing."""
    return [namespace(ROOT_NAMESPACE), namespace("default"), mesh_config_map(trust_domain, proxy_http_port)]


def objects_of(workloads: Iterable[Workload]) -> list[dict[str, Any]]:
    """The namespaces and service accounts that the workloads need, created where they are missing."""
    accounts = sorted({(workload.namespace, workload.service_account) for workload in workloads})
    namespaces = sorted({namespace_name for namespace_name, _ in accounts})
    return [*map(namespace, namespaces), *(service_account(space, name) for space, name in accounts)]


def token_request() -> dict[str, Any]:
    """The TokenRequest by which a workload gets its first certificate."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [TOKEN_AUDIENCE], "expirationSeconds": TOKEN_SECONDS},
    }


def kubeconfig(server: str, ca_base64: str, token: str, name: str) -> dict[str, Any]:
    """A kubeconfig for the config API at `server`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": ca_base64}}],
        "users": [{"name": f"{name}-admin", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin", "namespace": "default"}}],
        "current-context": name,
    }


def desired_over(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What to write so that `live` becomes `wanted`: everything the user may set is theirs, the rest is kept.

    A `resourceVersion` in `wanted` is kept: the writer then asks to be told of a conflict.
    """
    metadata = dict(live.get("metadata", {}))
    mine = dict(wanted.get("metadata", {}))
    for key in ("labels", "annotations"):
        metadata.pop(key, None)
    metadata.pop("managedFields", None)
    body = dict(wanted) | {"metadata": metadata | mine}
    if "status" in live:
        body.setdefault("status", live["status"])
    return body
