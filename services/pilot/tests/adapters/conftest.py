"""A serving Pilot process without NATS: the hub is fed by hand, the compiler is a stand-in, gRPC is real."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from meshcore.authentication.call_proofs import CallProofs
from meshcore.bus.connection import BUS_ERRORS, Bus, BusSettings
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import HEAD_KEY, Key, kv_key
from meshcore.distribution.records import Head, encode_head, encode_record, make_record
from meshcore.model.kinds import KINDS
from meshcore.runtime import running, tasks
from meshcore.testing.identity import make_ca, write_identity
from meshcore.testing.nats import nats_server
from meshcore.tls import LiveIdentity, grpc_channel_credentials
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE
from nats.js.api import KeyValueConfig
from nats.js.errors import NotFoundError
from pilot.adapters.admin import receipt_state
from pilot.adapters.answers import LocalAnswers
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.own_identity import start_identity
from pilot.adapters.servers import AdsServers
from pilot.adapters.serving import hub_of, start_serving
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.settings import PilotSettings

sys.path.insert(0, str(Path(__file__).parent))

from pilot_process import process as process


def pytest_asyncio_loop_factories(config, item):
    """The loop that Pilot runs on: asyncio's own differs from it where a handle is asked something."""
    return {"uvloop": uvloop.Loop}


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

    def __init__(self, hub, servers, identity, host):
        self.hub = hub
        self.host = host
        self.servers = servers
        self.identity = identity
        self.answers = LocalAnswers(hub, "pilot")
        self.revision = 1

    @property
    def plaintext(self):
        return f"{self.host}:{self.servers.plaintext_port}"

    @property
    def secure(self):
        return f"{self.host}:{self.servers.secure_port}"

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
            key = key_of(document)
            changes.append(Change(key, make_record(kv_key(*key), "s", self.revision, document, "", now), None))
        for name in deleted:
            key = Key("", "services", "shop", name)
            changes.append(Change(key, make_record(kv_key(*key), "s", self.revision, None, "", now), None))
        self.hub.take_changes(ChangeSet("s", self.revision, previous, "", now, tuple(changes)))
        return self.revision

    async def receipt(self, revision, wait=60):
        return await self.answers.answer("receipt", {"revision": revision}, wait)


@pytest.fixture(scope="session")
def ca():
    return make_ca()


@contextlib.asynccontextmanager
async def serving(
    ca=None, registrations=None, compile_class=None, proofs=None, identity=None, engine=None, **overrides
):
    """A running hub with ADS on free ports; with the identity that is given, or one that the authority issues."""
    options = {"grpc_port": 0, "plaintext_port": 0, "host": "127.0.0.1", **overrides}
    settings = PilotSettings(**options)
    stand_in = Engine(compile_class or services_only, lambda change, proxy_class, snapshot: True, Debounce(0.1, 10))
    engine = engine or stand_in
    hub = hub_of(settings, engine)
    if identity is None and ca is not None:
        identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot"))
    debug = DebugStream(
        LocalAnswers(hub, "pilot"), "pilot", "1.0", "istio-system", guarded=settings.debug_endpoint_auth
    )
    servers = AdsServers(hub, registrations, settings, identity, proofs or CallProofs(settings.trust_domain), debug)
    async with tasks.background(hub.run(), name="hub"):
        hub.take_state(FullState("s", 1, "", {}))
        await servers.start()
        try:
            yield Mesh(hub, servers, identity, settings.host)
        finally:
            await servers.stop()


@pytest.fixture
async def mesh():
    async with serving() as served:
        yield served


class GalleyStandIn:
    """Publishes change sets to a real NATS as Galley does: keys first, then the head."""

    def __init__(self, server):
        self.server = server
        self.bus = Bus(BusSettings(server.url))
        self.revision = 0
        self.digest = SetDigest()
        self.records = {}

    async def publish(self, *documents, deleted=(), under=()):
        """One revision; documents are dicts, `deleted` bucket keys, `under` has documents by other keys than their own.
        Tries again while NATS comes back."""
        state = self.revision, SetDigest(str(self.digest)), dict(self.records)
        while True:
            await self.bus.connected()
            try:
                return await self._publish(documents, deleted, dict(under))
            except BUS_ERRORS:
                self.revision, self.digest, self.records = state[0], SetDigest(str(state[1])), dict(state[2])

    async def _publish(self, documents, deleted, under):
        js = self.bus.jetstream()
        try:
            store = await js.key_value(CONFIG_BUCKET)
        except NotFoundError:
            store = await js.create_key_value(KeyValueConfig(bucket=CONFIG_BUCKET))
        previous, self.revision = self.revision, self.revision + 1
        now = datetime.now(UTC)
        changed = {bucket_key(document): document for document in documents} | dict.fromkeys(deleted) | under
        for key, document in changed.items():
            record = make_record(key, "store", self.revision, document, "", now)
            if key in self.records:
                self.digest.remove(self.records.pop(key).digest)
            if document is not None:
                self.records[key] = record
                self.digest.add(record.digest)
            await store.put(key, encode_record(record))
        head = Head("store", 1, self.revision, previous, tuple(changed), str(self.digest), "", now)
        await store.put(HEAD_KEY, encode_head(head))
        return self.revision


def key_of(document):
    group = document["apiVersion"].partition("/")[0] if "/" in document["apiVersion"] else ""
    kind = next(info for info in KINDS if info.kind == document["kind"] and info.group == group)
    return Key(group, kind.plural, document["metadata"].get("namespace", ""), document["metadata"]["name"])


def bucket_key(document):
    return kv_key(*key_of(document))


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def galley(nats):
    stand_in = GalleyStandIn(nats)
    async with stand_in.bus:
        yield stand_in


class RunningPilot:
    """A whole Pilot in this process, with the stand-in compiler unless the test has another."""

    def __init__(self, serving):
        self.serving = serving
        self.source = serving.source

    @property
    def secure(self):
        return f"127.0.0.1:{self.serving.servers.secure_port}"

    @property
    def plaintext(self):
        return f"127.0.0.1:{self.serving.servers.plaintext_port}"

    async def receipt(self, revision, wait=60):
        return receipt_state(revision, await self.source.ask("receipt", {"revision": revision}, wait))

    def endpoints(self, host):
        registry = self.serving.hub.engine.snapshot.registry
        return {e.address for key, found in registry.endpoints.items() if key.host == host for e in found if e.healthy}


@pytest.fixture
def pilot(ca, nats, tmp_path):
    """Starts a Pilot: `async with pilot("pilot-1") as running`."""

    @contextlib.asynccontextmanager
    async def start(name="pilot-1", compile_class=services_only, **overrides):
        identity = write_identity(
            tmp_path / f"{name}-identity", ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot")
        )
        options = {
            "instance": name,
            "nats_url": nats.url,
            "identity_dir": identity,
            "state_dir": tmp_path / f"{name}-state",
            "grpc_port": 0,
            "plaintext_port": 0,
            "heartbeat_interval": timedelta(milliseconds=200),
            "query_deadline": timedelta(seconds=1),
            **overrides,
        }
        options["state_dir"].mkdir(exist_ok=True)
        made = []

        async def build(runtime):
            live = start_identity(runtime)
            made.append(await start_serving(runtime, compile_class, lambda change, proxy_class, snapshot: True, live))

        async with running(PilotSettings(**options), build) as runtime:
            async with asyncio.timeout(60):
                await runtime.readiness.wait()
            yield RunningPilot(made[0])

    return start


@pytest.fixture
def workload_credentials(ca):
    """mTLS credentials of a workload."""

    def make(namespace="shop", service_account="default", **issue):
        return grpc_channel_credentials(
            ca.issue(f"spiffe://cluster.local/ns/{namespace}/sa/{service_account}", **issue)
        )

    return make


@contextlib.asynccontextmanager
async def eventually(condition, seconds=60.0):
    """Poll an outside state until it holds; AssertionError otherwise."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "not reached in time"
        await asyncio.sleep(0.02)
    yield


@pytest.fixture
def reached():
    async def wait(condition, seconds=60.0):
        async with eventually(condition, seconds):
            return

    return wait


@pytest.fixture
async def secure_mesh(ca):
    async with serving(ca) as served:
        yield served


@pytest.fixture
def serve_mesh(ca):
    """Starts a hub with settings of the test's own: `async with serve_mesh(max_requests_per_second=2) as mesh`."""
    return lambda **overrides: serving(ca, **overrides)
