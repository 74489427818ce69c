"""Patches of clusters: matched by name, or by service, port and subset. Pure."""

from envoy.config.cluster.v3 import cluster_pb2
from meshcore.errors import MeshError
from meshcore.model.envoy_filter import ApplyTo, ClusterMatch, PatchContext, PatchOperation
from meshcore.xds.merging import merge, merge_any
from meshcore.xds.names import ClusterName, Direction, parse_cluster_name
from meshcore.xds.resource import PackedResource

from pilot.core.compiler.context import Compiled
from pilot.core.compiler.envoy_filter.acceptance import cluster_fault
from pilot.core.compiler.envoy_filter.patches import Patches, PatchOf
from pilot.core.compiler.envoy_filter.work import Outcome, Patching
from pilot.core.compiler.messages import ISTIO_METADATA


def patched_cluster(item: Compiled, patches: Patches) -> Outcome:
    """The cluster after every MERGE and REMOVE that matches it."""
    found = [
        patch
        for patch in patches.by_target[ApplyTo.CLUSTER]
        if patch.operation is not PatchOperation.ADD and _matches(patch, item.resource)
    ]
    if not found:
        return Outcome(item)
    if any(patch.operation is PatchOperation.REMOVE for patch in found):
        return Outcome(None)
    cluster = cluster_pb2.Cluster.FromString(item.resource.body)
    patching = Patching(f"cluster {cluster.name}")
    for patch in found:
        patching.attempt(patch, cluster, _merge, cluster_fault)
    return patching.finished(item, cluster)


def _merge(cluster: cluster_pb2.Cluster, patch: PatchOf) -> None:
    """The name is what others know it by: it stays. A TLS context goes into each socket of its name."""
    value = cluster_pb2.Cluster()
    value.CopyFrom(patch.value)
    value.name = cluster.name
    if value.HasField("transport_socket") and cluster.transport_socket_matches:
        socket = value.transport_socket
        for choice in cluster.transport_socket_matches:
            if choice.transport_socket.name == socket.name:
                merge_any(choice.transport_socket.typed_config, socket.typed_config, replace_lists=patch.replaces_lists)
        value.ClearField("transport_socket")
    if value.WhichOneof("cluster_discovery_type") == "cluster_type":
        cluster.ClearField("type")
    merge(cluster, value, replace_lists=patch.replaces_lists)


def _matches(patch: PatchOf, resource: PackedResource) -> bool:
    try:
        name: ClusterName | None = parse_cluster_name(resource.name)
    except MeshError:
        name = None
    inbound = resource.name == "InboundPassthroughCluster" or (name is not None and name.direction is Direction.INBOUND)
    context = patch.match.context
    if context is PatchContext.SIDECAR_INBOUND and not inbound:
        return False
    if context is PatchContext.SIDECAR_OUTBOUND and inbound:
        return False
    wanted = patch.match.cluster
    if wanted is None:
        return True
    if wanted.name:
        return wanted.name == resource.name
    return name is not None and _fits(wanted, name, resource)


def _fits(wanted: ClusterMatch, name: ClusterName, resource: PackedResource) -> bool:
    if wanted.subset and wanted.subset != name.subset:
        return False
    if wanted.port_number and wanted.port_number != name.port:
        return False
    if not wanted.service:
        return True
    return wanted.service.lower() in ((name.host,) if name.host else _served_hosts(resource))


def _served_hosts(resource: PackedResource) -> tuple[str, ...]:
    """An inbound cluster's name has no host: all services on the port stand in its metadata."""
    metadata = cluster_pb2.Cluster.FromString(resource.body).metadata.filter_metadata
    if ISTIO_METADATA not in metadata or "services" not in metadata[ISTIO_METADATA]:
        return ()
    return tuple(service["host"] for service in metadata[ISTIO_METADATA]["services"])
