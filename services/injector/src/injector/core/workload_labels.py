"""Labels that an injected pod carries for its peers and its telemetry. Pure."""

from collections.abc import Mapping

_LABEL_LENGTH = 63


def mesh_labels(labels: Mapping[str, str], workload_name: str, network: str = "") -> dict[str, str]:
    """The pod's labels with those of the mesh added; what the pod already says stays.

    The canonical name is the first of: existing label, `app.kubernetes.io/name`, `app`, the owner's name; the revision
    likewise, `latest` when nothing says.
    """
    name = labels.get("app.kubernetes.io/name") or labels.get("app") or workload_name
    revision = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    added = {
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": name[:_LABEL_LENGTH].rstrip("-._"),
        "service.istio.io/canonical-revision": revision[:_LABEL_LENGTH].rstrip("-._"),
    }
    if network:
        added["topology.istio.io/network"] = network
    return {**added, **labels}
