"""Galley dials a ResourceSink: a server that knows only the protocol gets its config, again after every break."""

import asyncio

import grpc
import grpc.aio
import pytest
from galley.core.storage import Verb
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2, mcp_pb2_grpc
from meshcore.testing.addresses import claim
from meshcore.testing.identity import make_ca
from meshcore.tls import grpc_server_credentials, peer_spiffe

from .conftest import DEADLINE, Sink, serving

PORT = 15019


class SinkServer(mcp_pb2_grpc.ResourceSinkServicer):
    """Keeps what comes; remembers who dialled."""

    def __init__(self):
        self.callers = []
        self.streams = 0
        self.held = {}
        self.changed = asyncio.Event()
        self.incremental = []

    async def EstablishResourceStream(self, _, context):
        self.callers.append(str(peer_spiffe(context)))
        self.streams += 1
        sink = Sink(context)
        sink.held = self.held
        await sink.ask(incremental=True, initial_resource_versions=self.held)
        while (response := await context.read()) is not grpc.aio.EOF:
            assert isinstance(response, mcp_pb2.Resources)
            self.incremental.append(len(response.resources))
            await sink.ack(response)
            self.held = sink.held
            self.changed.set()

    async def until(self, names):
        async with asyncio.timeout(DEADLINE):
            while set(self.held) != names:
                self.changed.clear()
                await self.changed.wait()


async def start(servicer, address, identity):
    server = grpc.aio.server()
    mcp_pb2_grpc.add_ResourceSinkServicer_to_server(servicer, server)
    server.add_secure_port(address, grpc_server_credentials(identity))
    await server.start()
    return server


@pytest.fixture
def address():
    with claim() as block:
        yield block.address(1)


async def test_the_sink_is_fed_and_fed_again_after_it_was_away(store, address):
    ca = make_ca()
    sink_identity = ca.issue("spiffe://cluster.local/ns/istio-system/sa/sink", ips=[address])
    target = f"{address}:{PORT}"
    async with serving(store, ca, sink_address=target) as galley:
        await galley.write(Verb.CREATE, "a")
        first = SinkServer()
        server = await start(first, target, sink_identity)
        await first.until({"shop/a"})
        assert set(first.callers) == {"spiffe://cluster.local/ns/istio-system/sa/galley"}
        await galley.write(Verb.CREATE, "b")
        await first.until({"shop/a", "shop/b"})
        await server.stop(0)
        await galley.write(Verb.DELETE, "a")
        second = SinkServer()
        second.held = first.held
        server = await start(second, target, sink_identity)
        await second.until({"shop/b"})
        assert sum(second.incremental) == 0  # it had the rest already
        await server.stop(0)


async def test_a_sink_with_a_foreign_certificate_gets_nothing(store, address):
    ca, other = make_ca(), make_ca("other")
    servicer = SinkServer()
    foreign = other.issue("spiffe://cluster.local/ns/istio-system/sa/sink", ips=[address])
    server = await start(servicer, f"{address}:{PORT}", foreign)
    async with serving(store, ca, sink_address=f"{address}:{PORT}") as galley:
        await galley.write(Verb.CREATE, "a")
        async with galley.sink() as sink:
            await sink.ask()
            await sink.until({"shop/a"})
    assert servicer.streams == 0
    await server.stop(0)
