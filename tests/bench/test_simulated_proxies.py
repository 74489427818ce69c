"""The simulated proxies on a server that is none of ours: gRPC's, which says what a test wants."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE

ROOT = Path(__file__).parents[2]
LARGE = 100_000
"""Bytes: more than a frame, and than the first window of HTTP/2."""


def response(kind, nonce, messages=(), removed=()):
    made = discovery_pb2.DeltaDiscoveryResponse(type_url=kind, nonce=nonce, removed_resources=removed)
    for name, message in messages:
        one = made.resources.add(name=name, version=f"{name}-1")
        one.resource.Pack(message)
    return made


def eds_cluster(name):
    made = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS, alt_stat_name="x" * LARGE)
    made.eds_cluster_config.service_name = f"{name}-endpoints"
    return name, made


class Server:
    """One stream at a time; what clients say lies in `said`, what is put in `answers` they are sent; None ends it."""

    def __init__(self):
        self.said: asyncio.Queue = asyncio.Queue()
        self.answers: asyncio.Queue = asyncio.Queue()

    async def serve(self, _, context):
        async def read():
            while (request := await context.read()) is not grpc.aio.EOF:
                await self.said.put(request)

        reading = asyncio.ensure_future(read())
        while (answer := await self.answers.get()) is not None:
            await context.write(answer)
        reading.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "come back")

    async def hears(self, count):
        """The next requests, by type and what they say."""
        async with asyncio.timeout(30):
            return [await self.said.get() for _ in range(count)]


@pytest.fixture
async def server():
    serving = Server()
    handler = grpc.stream_stream_rpc_method_handler(
        serving.serve,
        discovery_pb2.DeltaDiscoveryRequest.FromString,
        discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
    )
    service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    running = grpc.aio.server()
    methods = {"DeltaAggregatedResources": handler}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    serving.port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield serving
    await running.stop(0)


@pytest.fixture
async def ask(server):
    command = ["-m", "bench.scale.client", "--target", f"127.0.0.1:{server.port}", "--proxies", "1", "--classes", "1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )

    async def asking(command):
        process.stdin.write(command.encode() + b"\n")
        async with asyncio.timeout(30):
            return json.loads(await process.stdout.readline())

    yield asking
    process.stdin.close()
    await process.wait()


async def test_a_proxy_answers_and_asks_as_envoy_does(server, ask):
    clusters, listeners = await server.hears(2)
    assert (clusters.type_url, listeners.type_url) == (CLUSTER_TYPE, LISTENER_TYPE)
    assert clusters.node.id.startswith("sidecar~")
    assert clusters.ByteSize() > 50_000
    assert not listeners.HasField("node")

    await server.answers.put(response(CLUSTER_TYPE, "n1", [eds_cluster("a"), eds_cluster("b")]))
    acknowledged, endpoints = await server.hears(2)
    assert (acknowledged.response_nonce, acknowledged.HasField("error_detail")) == ("n1", False)
    assert (endpoints.type_url, list(endpoints.resource_names_subscribe)) == (
        ENDPOINT_TYPE,
        ["a-endpoints", "b-endpoints"],
    )
    assignments = [(f"{name}-endpoints", endpoint_pb2.ClusterLoadAssignment()) for name in "ab"]
    await server.answers.put(response(ENDPOINT_TYPE, "n2", assignments))
    await server.answers.put(response(LISTENER_TYPE, "n3", [("l", listener_pb2.Listener(name="l"))]))
    assert [one.response_nonce for one in await server.hears(2)] == ["n2", "n3"]
    assert (await ask("complete 30"))["complete"] == 1
    assert (await ask("arrivals"))["frames"] == 3

    await server.answers.put(response(CLUSTER_TYPE, "n4", removed=["b"]))
    acknowledged, endpoints = await server.hears(2)
    assert (acknowledged.response_nonce, list(endpoints.resource_names_unsubscribe)) == ("n4", ["b-endpoints"])

    # A response that crosses the request.
    await server.answers.put(response(ENDPOINT_TYPE, "n5", assignments[1:]))
    assert [one.response_nonce for one in await server.hears(1)] == ["n5"]

    await server.answers.put(None)
    again = {one.type_url: dict(one.initial_resource_versions) for one in await server.hears(3)}
    assert again == {
        CLUSTER_TYPE: {"a": "a-1"},
        LISTENER_TYPE: {"l": "l-1"},
        ENDPOINT_TYPE: {"a-endpoints": "a-endpoints-1"},
    }
    assert (await ask("arrivals"))["ends"] == {"status 14 come back": 1}
