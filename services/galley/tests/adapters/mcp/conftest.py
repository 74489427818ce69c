"""Galley's MCP ports over a real store, and clients that know only what the protocols say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from galley.adapters.mcp import start_mcp
from galley.adapters.store import Store
from galley.core.admission import admit
from galley.core.kind_rules import Naming
from galley.core.storage import Verb, WriteOp
from galley.settings import GalleySettings
from google.rpc import status_pb2
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2, mcp_pb2_grpc
from meshcore.distribution.keys import Key
from meshcore.model.kinds import by_kind
from meshcore.runtime import Runtime, running
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls import LiveIdentity, ServiceIdentity, grpc_channel_credentials, grpc_root_credentials

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"
ENTRIES = "istio/networking/v1alpha3/serviceentries"
DEADLINE = 60


def key_of(name: str) -> Key:
    return Key("networking.istio.io", "serviceentries", "shop", name)


@dataclass
class Galley:
    """Running ports, and what is needed to reach them and to write config."""

    store: Store
    ca: TestCa
    runtime: Runtime[GalleySettings]

    async def write(self, verb: Verb, name: str, host: str = "one.example.com", count: int = 1) -> None:
        operations = [self.operation(verb, name if count == 1 else f"{name}-{number}", host) for number in range(count)]
        await self.store.write(operations, "test")

    def operation(self, verb: Verb, name: str, host: str) -> WriteOp:
        if verb is Verb.DELETE:
            return WriteOp(verb, key_of(name))
        document = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": "shop", "labels": {"team": "a"}},
            "spec": {
                "hosts": [host],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "DNS",
            },
        }
        admitted = admit(document, by_kind(document["apiVersion"], "ServiceEntry"), Naming())
        return WriteOp(verb, key_of(name), admitted.document, admitted.normalised)

    def channel(self, port: str, identity: ServiceIdentity | None) -> grpc.aio.Channel:
        credentials = (
            grpc_root_credentials(self.ca.root_pem) if identity is None else grpc_channel_credentials(identity)
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{self.runtime.ports[port]}", credentials)

    @asynccontextmanager
    async def sink(self, spiffe: str | None = PILOT) -> AsyncIterator[Sink]:
        async with self.channel("mcp", self.ca.issue(spiffe)) as channel:
            yield Sink(mcp_pb2_grpc.ResourceSourceStub(channel).EstablishResourceStream())

    @asynccontextmanager
    async def istiod(self) -> AsyncIterator[Istiod]:
        async with self.channel("mcp-xds", None) as channel:
            stream = channel.stream_stream(
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
                request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
                response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
            )
            yield Istiod(stream())


class Sink:
    """The sink's side of one stream; `call` is of either service."""

    def __init__(self, call) -> None:
        self.call = call
        self.held: dict[str, str] = {}

    async def ask(self, collection: str = ENTRIES, **request) -> None:
        node = mcp_pb2.SinkNode(id="sink")
        await self.call.write(mcp_pb2.RequestResources(sink_node=node, collection=collection, **request))

    async def next(self) -> mcp_pb2.Resources:
        async with asyncio.timeout(DEADLINE):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, "the source ended the stream"
        return response

    async def ack(self, response: mcp_pb2.Resources) -> None:
        received = {item.metadata.name: item.metadata.version for item in response.resources}
        if response.incremental:
            kept = {name: version for name, version in self.held.items() if name not in response.removed_resources}
            received = {**kept, **received}
        self.held = received
        await self.ask(response.collection, response_nonce=response.nonce, incremental=response.incremental)

    async def nack(self, response: mcp_pb2.Resources) -> None:
        error = status_pb2.Status(code=3, message="cannot read it")
        await self.ask(response.collection, response_nonce=response.nonce, error_detail=error)

    async def until(self, names: set[str]) -> list[mcp_pb2.Resources]:
        """ACK what comes until the sink has these; all answers."""
        seen = []
        while set(self.held) != names:
            seen.append(await self.next())
            await self.ack(seen[-1])
        return seen


@dataclass
class Istiod:
    """What a real istiod does on the wire: a clock as first nonce, ACKs without error, everything or nothing."""

    call: object
    config: dict[str, dict[str, str]] = field(default_factory=dict)
    responses: int = 0

    async def ask(self, type_url: str, nonce: str = "2026-11-20 15:00:00 +0000 UTC m=+1.5") -> None:
        await self.call.write(discovery_pb2.DiscoveryRequest(type_url=type_url, response_nonce=nonce))

    async def receive(self) -> discovery_pb2.DiscoveryResponse:
        async with asyncio.timeout(DEADLINE):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, "galley ended the stream"
        self.responses += 1
        if response.type_url == "core/v1alpha1/MeshConfig":
            return response
        held = {}
        for packed in response.resources:
            assert packed.type_url == "type.googleapis.com/istio.mcp.v1alpha1.Resource"
            resource = mcp_pb2.Resource.FromString(packed.value)
            namespace, _, name = resource.metadata.name.partition("/")
            assert namespace
            assert name
            held[resource.metadata.name] = resource.metadata.version
        self.config[response.type_url] = held
        await self.call.write(
            discovery_pb2.DiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce, version_info=response.version_info
            )
        )
        return response


@asynccontextmanager
async def serving(store: Store, ca: TestCa, **settings) -> AsyncIterator[Galley]:
    identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley"))
    found = GalleySettings(host="127.0.0.1", mcp_port=0, mcp_xds_port=0, **settings)

    async def build(runtime: Runtime[GalleySettings]) -> None:
        await start_mcp(runtime, store, identity)

    async with running(found, build) as runtime:
        yield Galley(store, ca, runtime)


@pytest.fixture
async def galley(store: Store) -> AsyncIterator[Galley]:
    """Both ports are open, nobody is dialled."""
    async with serving(store, make_ca(), mcp_xds_allow="127.0.0.0/8") as found:
        yield found
