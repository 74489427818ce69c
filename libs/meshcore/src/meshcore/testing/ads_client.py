"""A raw delta-ADS client over real gRPC that follows an Envoy's subscriptions and answers as it is told.

async with AdsClient("127.0.0.1:15010", node("reviews-1", "shop")) as client:
    await client.until(lambda: client.names(CLUSTER_TYPE) == {"outbound|80||reviews"})
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc.aio
from envoy.config.core.v3 import base_pb2, health_check_pb2
from envoy.service.discovery.v3 import discovery_pb2

from meshcore.runtime import tasks
from meshcore.xds import registry
from meshcore.xds.references import references
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
PROXY_TYPES = (CLUSTER_TYPE, LISTENER_TYPE)
DEADLINE = 60.0
"""Seconds; who fails pays for it, and a busy machine does not fail."""
_FOLLOWED = {CLUSTER_TYPE: ENDPOINT_TYPE, LISTENER_TYPE: ROUTE_TYPE}


def node(
    name: str,
    namespace: str,
    *,
    address: str = "127.0.0.1",
    service_account: str = "default",
    labels: Mapping[str, str] | None = None,
    **metadata: str,
) -> Any:
    """Envoy's Node of a sidecar, as the agent writes it."""
    message = base_pb2.Node(id=f"sidecar~{address}~{name}.{namespace}~{namespace}.svc.cluster.local", cluster=name)
    message.metadata.update(
        {
            "NAMESPACE": namespace,
            "SERVICE_ACCOUNT": service_account,
            "INSTANCE_IPS": address,
            "LABELS": dict(labels or {}),
            "ISTIO_VERSION": "1.28.0",
            **metadata,
        }
    )
    return message


class AdsClient:
    """One stream. `held` is what the server has given, by type and name; `responses` every response in order.

    `resume` is what an earlier stream held: the client reconnects with it."""

    def __init__(
        self,
        target: str,
        who: Any,
        credentials: Any = None,
        *,
        types: Collection[str] = PROXY_TYPES,
        resume: Mapping[str, Mapping[str, PackedResource]] | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._target = target
        self._node = who
        self._credentials = credentials
        self._types = types
        self._metadata = metadata
        self._channel: Any = None
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        """A call takes one write at a time: the test's own and the answers to the server would meet."""
        self._watched: dict[str, set[str]] = {}
        self._said_node = False
        self.held = {kind: dict(named) for kind, named in (resume or {}).items()}
        self.responses: list[Any] = []
        self.refuse: dict[str, str] = {}
        """Types whose next responses are refused, with the reason."""
        self.silent: set[str] = set()
        """Types whose responses are not answered."""
        self.error: grpc.aio.AioRpcError | None = None
        self.ended = False

    async def __aenter__(self) -> Self:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = (
            grpc.aio.insecure_channel(self._target, options)
            if self._credentials is None
            else grpc.aio.secure_channel(self._target, self._credentials, options)
        )
        self._call = self._channel.stream_stream(METHOD)(metadata=tuple(self._metadata))
        self._reader = tasks.create_task(self._read(), name="ads client")
        for type_url in (*self._types, *(kind for kind in self.held if kind not in self._types)):
            names = self.names(type_url) if type_url in _FOLLOWED.values() else set()
            self._watched[type_url] = names
            versions = {name: one.version for name, one in self.held.get(type_url, {}).items()}
            await self.ask(type_url, names, versions=versions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._call.cancel()
        if self._reader is not None:
            await tasks.cancel(self._reader)
        await self._channel.close()

    async def ask(
        self,
        type_url: str,
        subscribe: Collection[str] = (),
        *,
        error: str = "",
        nonce: str = "",
        gone: Collection[str] = (),
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Send a request; the first carries the node. A server that has ended the stream is seen by `error`."""
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=sorted(subscribe),
            resource_names_unsubscribe=sorted(gone),
            response_nonce=nonce,
        )
        request.initial_resource_versions.update(versions or {})
        if error:
            request.error_detail.code = 3
            request.error_detail.message = error
        if not self._said_node:
            request.node.CopyFrom(self._node)
            self._said_node = True
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with self._writing:
                await self._call.write(request.SerializeToString())

    async def end(self) -> None:
        """End the stream in good order."""
        await self._call.done_writing()
        await self.until(lambda: self.ended)

    def names(self, type_url: str) -> set[str]:
        """Names of the resources of one type that are held."""
        return set(self.held.get(type_url, {}))

    def message(self, type_url: str, name: str) -> Any:
        """A held resource, parsed."""
        return registry.parse(type_url, self.held[type_url][name].body)

    def addresses(self, cluster: str) -> set[str]:
        """Addresses of the healthy endpoints of a cluster, as they are held."""
        if cluster not in self.names(ENDPOINT_TYPE):
            return set()
        return {
            one.endpoint.address.socket_address.address
            for locality in self.message(ENDPOINT_TYPE, cluster).endpoints
            for one in locality.lb_endpoints
            if one.health_status in (health_check_pb2.UNKNOWN, health_check_pb2.HEALTHY)
        }

    async def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Wait for an observed state; AssertionError with what is held when it does not come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            held = {kind.rpartition(".")[2]: sorted(named) for kind, named in self.held.items()}
            raise AssertionError(f"not reached within {seconds} s; held {held}, error {self.error}") from None

    async def _read(self) -> None:
        try:
            while (data := await self._call.read()) is not grpc.aio.EOF:
                await self._take(discovery_pb2.DeltaDiscoveryResponse.FromString(data))
                self._changed.set()
            code = await self._call.code()
            if code is not grpc.StatusCode.OK:
                self.error = grpc.aio.AioRpcError(
                    code,
                    await self._call.initial_metadata(),
                    await self._call.trailing_metadata(),
                    await self._call.details(),
                )
        except grpc.aio.AioRpcError as error:
            self.error = error
        finally:
            self.ended = True
            self._changed.set()

    async def _take(self, response: Any) -> None:
        kind = response.type_url
        self.responses.append(response)
        if kind in self.silent:
            return
        if kind in self.refuse:
            await self.ask(kind, nonce=response.nonce, error=self.refuse[kind])
            return
        held = self.held.setdefault(kind, {})
        for one in response.resources:
            held[one.name] = PackedResource(kind, one.name, one.version, one.resource.value)
        for name in response.removed_resources:
            held.pop(name, None)
        if (followed := _FOLLOWED.get(kind)) is not None:
            await self._follow(
                followed, {name for one in held.values() for to, name in references(one) if to == followed}
            )
        await self.ask(kind, nonce=response.nonce)

    async def _follow(self, type_url: str, names: set[str]) -> None:
        before = self._watched.get(type_url, set())
        self._watched[type_url] = names
        for name in before - names:
            self.held.get(type_url, {}).pop(name, None)
        if names != before:
            await self.ask(type_url, names - before, gone=before - names)
