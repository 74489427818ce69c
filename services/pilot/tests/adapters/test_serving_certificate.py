"""The operator's serving certificate: clients see it, by its own root, and Pilot goes on believing its own."""

import asyncio

from meshcore.runtime import tasks
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity, ServiceIdentity, grpc_channel_credentials
from meshcore.tls.serving_certificate import serving_identity
from meshcore.xds.types import LISTENER_TYPE
from pilot.settings import PilotSettings

from .conftest import serving

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"


def write(folder, pair, key=None):
    (folder / "tls.crt").write_bytes(pair.chain)
    (folder / "tls.key").write_bytes((key or pair).key.pem)


class Started:
    """Stands for the runtime: what is spawned runs while the block lasts."""

    def __init__(self, folder):
        self.settings = PilotSettings(serving_certificate=folder)
        self.spawned = []

    def spawn(self, name, start):
        self.spawned.append(start)


def client_of(ca, root):
    shown = ca.issue("spiffe://cluster.local/ns/shop/sa/front")
    return grpc_channel_credentials(ServiceIdentity(shown.key, shown.chain, root.root_pem))


async def is_served(target, credentials):
    async with AdsClient(target, node("a", "shop", service_account="front"), credentials) as client:
        await client.until(lambda: client.ended or client.names(LISTENER_TYPE))
        return not client.ended


async def test_the_operators_certificate_is_served_and_followed(ca, tmp_path):
    first, second = make_ca("first"), make_ca("second")
    write(tmp_path, first.issue(None))
    runtime, own = Started(tmp_path), LiveIdentity(ca.issue(PILOT))
    served = serving_identity(runtime, own)
    async with tasks.background(runtime.spawned[0](), name="files"), serving(identity=served) as mesh:
        assert await is_served(mesh.secure, client_of(ca, first))
        assert not await is_served(mesh.secure, client_of(ca, ca)), "its own is not shown"
        assert not await is_served(mesh.secure, client_of(first, first)), "its own root alone says who comes in"
        replaced = asyncio.Event()
        served.on_change(lambda _: replaced.set())
        new = second.issue(None)
        write(tmp_path, new, key=first.issue(None))  # half of it first
        write(tmp_path, new)
        async with asyncio.timeout(30):
            await replaced.wait()
        assert await is_served(mesh.secure, client_of(ca, second))
