"""A serving Pilot process without NATS: the hub is fed by hand, the compiler is a stand-in, gRPC is real."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2

from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.runtime import tasks
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE
from pilot.adapters.answers import LocalAnswers
from pilot.adapters.hub import Hub
from pilot.adapters.servers import AdsServers
from pilot.core.admission import Admission
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.settings import PilotSettings


def services_only(snapshot, proxy_class):
    """One EDS cluster with endpoints per service, and a listener that names the class's namespace."""
    packed = []
    for key, service in snapshot.registry.services.items():
        cluster = cluster_pb2.Cluster(name=key.host, type=cluster_pb2.Cluster.EDS, alt_stat_name=service.created)
        packed.append(PackedResource.pack(CLUSTER_TYPE, key.host, cluster))
        assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=key.host)
        for endpoint in snapshot.registry.endpoints_of(service):
            if endpoint.healthy:
                address = assignment.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
                address.address, address.port_value = endpoint.address, endpoint.port
        packed.append(PackedResource.pack(ENDPOINT_TYPE, key.host, assignment))
    packed.append(
        PackedResource.pack(
            LISTENER_TYPE, "inbound", listener_pb2.Listener(name="inbound", stat_prefix=proxy_class.namespace)
        )
    )
    return ResourceSet.of(packed)


class Mesh:
    """A hub with servers, and the config it is fed."""

    def __init__(self, hub, servers):
        self.hub = hub
        self.servers = servers
        self.answers = LocalAnswers(hub, "pilot")
        self.revision = 1

    @property
    def plaintext(self):
        return f"127.0.0.1:{self.servers.plaintext_port}"

    @property
    def secure(self):
        return f"127.0.0.1:{self.servers.secure_port}"

    def service(self, name, namespace="shop", **spec):
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "ports": [{"name": "http", "port": 80}],
                "clusterIP": "10.0.0.1",
                "selector": {"app": name},
                **spec,
            },
        }

    def change(self, *documents, deleted=()):
        """Feed one change set; the revision it has."""
        previous, self.revision = self.revision, self.revision + 1
        now = datetime.now(UTC)
        changes = []
        for document in documents:
            key = Key("", "services", document["metadata"]["namespace"], document["metadata"]["name"])
            changes.append(Change(key, make_record(kv_key(*key), "s", self.revision, document, "", now), None))
        for name in deleted:
            key = Key("", "services", "shop", name)
            changes.append(Change(key, make_record(kv_key(*key), "s", self.revision, None, "", now), None))
        self.hub.take_changes(ChangeSet("s", self.revision, previous, "", now, tuple(changes)))
        return self.revision

    async def receipt(self, revision, wait=10):
        return await self.answers.answer("receipt", {"revision": revision}, wait)


@pytest.fixture(scope="session")
def ca():
    return make_ca()


@contextlib.asynccontextmanager
async def serving(ca=None, registrations=None, **overrides):
    """A running hub with ADS on free ports."""
    options = {"grpc_port": 0, "plaintext_port": 0, "host": "127.0.0.1", **overrides}
    settings = PilotSettings(**options)
    engine = Engine(services_only, lambda change, proxy_class, snapshot: True, Debounce(0.1, 10))
    hub = Hub(engine, Admission(settings.push_throttle, settings.max_requests_per_second))
    identity = None
    if ca is not None:
        identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot"))
    servers = AdsServers(hub, registrations, settings, identity)
    async with tasks.background(hub.run(), name="hub"):
        hub.take_state(FullState("s", 1, "", {}))
        await servers.start()
        try:
            yield Mesh(hub, servers)
        finally:
            await servers.stop()


@pytest.fixture
async def mesh():
    async with serving() as running:
        yield running


@pytest.fixture
def short():
    """A time that has certainly passed for a client, and is still quick."""
    return timedelta(milliseconds=300)
