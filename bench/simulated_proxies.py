"""Many delta-ADS proxies in one process, for any ADS server: raw frames, real ACKs, subscriptions as Envoy makes them.

    python bench/simulated_proxies.py --target 127.2.255.2:15010 --proxies 1000 --classes 50

Reads commands from standard input, one a line, and answers each with one line of JSON:

    complete SECONDS   how many proxies have an answer of every type they asked for, when all have or at the deadline
    mark               forget what came before
    arrivals           since the mark: for each proxy that was sent something, when the last came (CLOCK_MONOTONIC), and
                       how many frames and bytes all were sent

What was parsed of one frame serves every proxy that is sent the same bytes: the client must cost less than the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from functools import cache
from pathlib import Path

import grpc
import grpc.aio
import uvloop
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds import registry
from meshcore.xds.references import references
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
FOLLOWED = {CLUSTER_TYPE: ENDPOINT_TYPE, LISTENER_TYPE: ROUTE_TYPE}
Versions = frozenset[tuple[str, str]]


@cache
def parsed(frame: bytes) -> tuple[str, str, Versions, frozenset[str], frozenset[str]]:
    """Type, nonce, versions of the resources, names that are gone, names that the resources refer to."""
    response = discovery_pb2.DeltaDiscoveryResponse.FromString(frame)
    kind, followed = response.type_url, FOLLOWED.get(response.type_url)
    named = set()
    if followed is not None:
        for one in response.resources:
            packed = PackedResource(kind, one.name, one.version, one.resource.value)
            named |= {name for to, name in references(packed) if to == followed}
    versions = frozenset((one.name, one.version) for one in response.resources)
    return kind, response.nonce, versions, frozenset(response.removed_resources), frozenset(named)


@cache
def advanced(held: Versions, came: Versions, gone: frozenset[str]) -> Versions:
    """What is held after a response; one object for all proxies of a class."""
    after = dict(held) | dict(came)
    for name in gone:
        after.pop(name, None)
    return frozenset(after.items())


@cache
def subscription(type_url: str, names: frozenset[str], held: Versions) -> bytes:
    """The request for names, with the versions that are held already."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=sorted(names))
    request.initial_resource_versions.update(dict(held))
    return request.SerializeToString()


class Proxy:
    """One stream, opened again when it ends, with what was held."""

    came = asyncio.Event()
    """Something came to one of them."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None, node: base_pb2.Node) -> None:
        self._target, self._credentials = target, credentials
        self._node = discovery_pb2.DeltaDiscoveryRequest(node=node).SerializeToString()
        self._held: dict[str, Versions] = {}
        self._watched: dict[str, frozenset[str]] = {}
        self._answered: set[str] = set()
        self.last, self.frames, self.bytes = 0.0, 0, 0

    @property
    def complete(self) -> bool:
        """Whether every type that was asked for has been answered on this stream."""
        wanted = {CLUSTER_TYPE, LISTENER_TYPE, *(kind for kind, names in self._watched.items() if names)}
        return wanted <= self._answered

    async def run(self) -> None:
        """For ever."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        while True:
            if self._credentials is None:
                channel = grpc.aio.insecure_channel(self._target, options)
            else:
                channel = grpc.aio.secure_channel(self._target, self._credentials, options)
            try:
                await self._stream(channel.stream_stream(METHOD)())
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.2)
            finally:
                self._answered.clear()
                await channel.close()

    async def _stream(self, call: grpc.aio.StreamStreamCall) -> None:
        everything: frozenset[str] = frozenset()
        for number, kind in enumerate((CLUSTER_TYPE, LISTENER_TYPE)):
            first = subscription(kind, everything, self._held.get(kind, frozenset()))
            await call.write(self._node + first if number == 0 else first)
        for kind, names in self._watched.items():
            if names:
                await call.write(subscription(kind, names, self._held.get(kind, frozenset())))
        while (frame := await call.read()) is not grpc.aio.EOF:
            kind, nonce, came, gone, named = parsed(frame)
            self._held[kind] = advanced(self._held.get(kind, frozenset()), came, gone)
            await call.write(
                discovery_pb2.DeltaDiscoveryRequest(type_url=kind, response_nonce=nonce).SerializeToString()
            )
            self._answered.add(kind)
            followed = FOLLOWED.get(kind)
            if followed is not None and (new := named - self._watched.get(followed, frozenset())):
                self._watched[followed] = self._watched.get(followed, frozenset()) | named
                await call.write(subscription(followed, frozenset(new), frozenset()))
            self.last = time.monotonic()
            Proxy.came.set()
            self.frames += 1
            self.bytes += len(frame)


def node(number: int, classes: int) -> base_pb2.Node:
    """Proxy `number`, a replica of workload `number % classes`, each in a namespace of its own."""
    kind = number % classes
    address = f"10.{200 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    namespace = f"bench-{kind}"
    made = base_pb2.Node(id=f"sidecar~{address}~app-{number}.{namespace}~{namespace}.svc.cluster.local", cluster="app")
    labels = {"app": f"app-{kind}"}
    fields = {"NAMESPACE": namespace, "SERVICE_ACCOUNT": "default", "INSTANCE_IPS": address, "LABELS": labels}
    made.metadata.update(fields | {"ISTIO_VERSION": "1.28.0", "CLUSTER_ID": "Kubernetes"})
    return made


def credentials(directory: Path, namespace: str) -> grpc.ChannelCredentials:
    """From `NAMESPACE.key`, `NAMESPACE.pem` and `root-cert.pem`."""
    read = {end: (directory / f"{namespace}.{end}").read_bytes() for end in ("key", "pem")}
    return grpc.ssl_channel_credentials((directory / "root-cert.pem").read_bytes(), read["key"], read["pem"])


async def obey(proxies: list[Proxy], line: str) -> object:
    """Carry a command out; what it answers."""
    command, *more = line.split()
    if command == "complete":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(more[0])):
                while not all(proxy.complete for proxy in proxies):
                    Proxy.came.clear()
                    await Proxy.came.wait()
        done = sum(proxy.complete for proxy in proxies)
        return {"complete": done, "at": max((proxy.last for proxy in proxies), default=0.0)}
    if command == "mark":
        for proxy in proxies:
            proxy.last, proxy.frames, proxy.bytes = 0.0, 0, 0
        return {}
    return {
        "last": [proxy.last for proxy in proxies if proxy.frames],
        "frames": sum(proxy.frames for proxy in proxies),
        "bytes": sum(proxy.bytes for proxy in proxies),
    }


async def main(options: argparse.Namespace) -> None:
    """Until standard input ends."""
    registry.load()
    shared = {}
    if options.certificates:
        names = (f"bench-{kind}" for kind in range(options.classes))
        shared = {name: credentials(Path(options.certificates), name) for name in names}
    proxies = [
        Proxy(options.target, shared.get(f"bench-{number % options.classes}"), node(number, options.classes))
        for number in range(options.proxies)
    ]
    running = [asyncio.ensure_future(proxy.run()) for proxy in proxies]
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        print(json.dumps(await obey(proxies, line)), flush=True)
    for task in running:
        task.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulated delta-ADS proxies.")
    parser.add_argument("--target", required=True, help="host:port of an ADS server")
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--certificates", help="folder of certificates: mTLS")
    uvloop.run(main(parser.parse_args()))
