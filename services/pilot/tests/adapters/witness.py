"""What tests of hostile clients have in common: how one ends, and how it shows that the client beside it is served."""

from envoy.service.discovery.v3 import discovery_pb2
from meshcore.testing.ads_client import node
from meshcore.xds.types import CLUSTER_TYPE

STREAMS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"


async def is_served(mesh, client, name):
    """A change reaches the client, whatever others owe that it concerns, too."""
    mesh.change(mesh.service(name))
    await client.until(lambda: f"{name}.shop.svc.cluster.local" in client.names(CLUSTER_TYPE))


async def ended_with(client):
    await client.until(lambda: client.ended)
    return client.error.code(), client.error.details()


def subscription(number, type_url=CLUSTER_TYPE):
    return discovery_pb2.DeltaDiscoveryRequest(node=node(f"n{number}", "shop"), type_url=type_url).SerializeToString()
