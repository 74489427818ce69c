"""Who the simulated proxies are, and the first requests of their streams."""

from functools import cache

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

EXTENSIONS = 516
"""What Envoy 1.40 names in its first request of a stream; with them that request has some 60 KB."""


def namespace_of(kind: int) -> str:
    """The namespace of a class of proxies."""
    return f"bench-{kind}"


def node(number: int, classes: int) -> bytes:
    """The node of proxy `number`, a replica of workload `number % classes`, each workload in a namespace of its own.

    A request of which only the node is there; `extensions()` and the rest follow: messages may come in pieces.
    """
    kind = number % classes
    address = f"10.{200 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    namespace = namespace_of(kind)
    made = base_pb2.Node(id=f"sidecar~{address}~app-{number}.{namespace}~{namespace}.svc.cluster.local", cluster="app")
    labels = {"app": f"app-{kind}"}
    fields = {"NAMESPACE": namespace, "SERVICE_ACCOUNT": "default", "INSTANCE_IPS": address, "LABELS": labels}
    made.metadata.update(fields | {"ISTIO_VERSION": "1.28.0", "CLUSTER_ID": "Kubernetes"})
    made_bytes: bytes = discovery_pb2.DeltaDiscoveryRequest(node=made).SerializeToString()
    return made_bytes


@cache
def extensions() -> bytes:
    """What Envoy says of itself, the same for all."""
    said = base_pb2.Node(user_agent_name="envoy")
    for number in range(EXTENSIONS):
        one = said.extensions.add(name=f"envoy.filters.http.simulated_{number}", category="envoy.filters.http")
        one.type_urls.append(f"envoy.extensions.filters.http.simulated_{number}.v3.Simulated")
    said_bytes: bytes = discovery_pb2.DeltaDiscoveryRequest(node=said).SerializeToString()
    return said_bytes
