"""The agent's own stream to Pilot: registration, health, names; and the proof that Pilot is serving this proxy.

A light delta-ADS stream with the proxy's node and certificate, marked `GENERATOR: agent`. The workload is registered
from its first message on; a stream that is half-closed by the agent de-registers at once, one that breaks does so after
Pilot's grace. A replaced stream is therefore opened first and the old one cancelled, never half-closed.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

import grpc
import grpc.aio
import structlog
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format
from meshcore import metrics
from meshcore.runtime import tasks
from meshcore.tls import ServiceIdentity, grpc_channel_credentials
from meshcore.xds.names import BOOTSTRAP_PATCH
from meshcore.xds.types import BOOTSTRAP_TYPE, HEALTH_TYPE, NAME_TABLE_TYPE

from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.back_off import PILOT_BACK_OFF

_log = structlog.get_logger("pilot")
_FAILURES = metrics.counter("istio_agent_istiod_connection_failures", "Streams to Pilot that could not be opened.")
_ENDS = metrics.counter("istio_agent_istiod_connection_terminations", "Streams to Pilot that ended.")
_REQUESTS = metrics.counter("istio_agent_xds_proxy_requests", "Messages sent to Pilot.")
_RESPONSES = metrics.counter("istio_agent_xds_proxy_responses", "Messages received from Pilot.")
CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    # Connections are not shared between channels: each one must present the certificate it was made with.
    ("grpc.use_local_subchannel_pool", 1),
)
_END_WITHIN = 1.0
_ANSWER_WITHIN = 10.0
_INTERNAL = 13


class Kept(Protocol):
    """What is kept of one type of Pilot's resources. `changed` is called with the names to ask for and to let go."""

    type_url: str
    changed: Callable[[frozenset[str], frozenset[str]], None]

    @property
    def wanted(self) -> Mapping[str, str]:
        """Every name to ask for, with the version that is held; empty for none."""

    def received(self, response: Any) -> None:
        """A message of this type."""


class PilotStream:
    """Keeps one stream open. `run` is a task of the agent; the rest may be called at any time."""

    def __init__(
        self,
        pilot: HostPort,
        node: Mapping[str, Any],
        identity: WorkloadIdentity,
        *,
        on_answered: Callable[[], None],
        on_names: Callable[[bytes], None],
        on_bootstrap: Callable[[bytes], None] | None = None,
        kept: Sequence[Kept] = (),
    ) -> None:
        self._pilot = pilot
        self._node = json_format.ParseDict(node, base_pb2.Node())
        self._identity = identity
        self._on_answered = on_answered
        self._on_names = on_names
        self._on_bootstrap = on_bootstrap
        self._kept = kept
        for one in kept:
            one.changed = partial(self._ask, one.type_url)
        self._unhealthy: str | None = "the proxy is not ready"
        self._connection: _Connection | None = None
        self._renewed = asyncio.Event()
        self._heard = asyncio.Event()
        """Set when Pilot has answered once."""
        self._ended = False
        identity.on_change(lambda _: self._renewed.set())

    @property
    def answered(self) -> bool:
        """Whether Pilot has answered on the stream that is open now."""
        return self._connection is not None and self._connection.answered.is_set()

    async def is_answered(self, within: float) -> bool:
        """Whether Pilot answers in this time (seconds)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._heard.wait()
        return self.answered

    async def report(self, unhealthy: str | None) -> None:
        """Tell Pilot that the workload is healthy (None) or why it is not; repeated on every new stream."""
        self._unhealthy = unhealthy
        if self._connection is not None:
            await self._connection.send_health(unhealthy)

    async def leave(self, within: float) -> bool:
        """Take the workload out of its callers' sight: unhealthy, until Pilot says that all know or time is up."""
        connection = self._connection
        if connection is None or not connection.answered.is_set():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                connection.health_known.clear()
                await self.report("the proxy is draining")
                await connection.health_known.wait()
                return True
        return False

    def _ask(self, type_url: str, added: frozenset[str], gone: frozenset[str]) -> None:
        """On the stream that is open; a new one asks for all."""
        if (connection := self._connection) is not None:
            connection.ask(type_url, sorted(added), sorted(gone))

    async def end(self) -> None:
        """End the stream in good order, which de-registers the workload at once."""
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.half_close()

    async def abandon(self) -> None:
        """Leave the stream without a word: another agent's has taken its place."""
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def run(self) -> None:
        """Open the stream and open it again, with back-off, until `end`."""
        attempt = 0
        while not self._ended:
            connection = self._connection = self._open(await self._identity.wait())
            try:
                status = await self._hold(connection)
            finally:
                if self._connection is not None and not self._ended:
                    await self._connection.close()
            if self._ended:
                return
            answered, self._connection = self.answered, None
            attempt = 0 if answered else attempt + 1
            (_ENDS if answered else _FAILURES).inc()
            delay = PILOT_BACK_OFF.delay(attempt, random.random())  # noqa: S311 - spreads a fleet
            _log.info("stream to pilot ended", status=status, retry_in=round(delay, 2))
            await asyncio.sleep(delay)

    async def _hold(self, connection: "_Connection") -> str:
        """How the stream ended; a renewed certificate moves it to a new connection first, a while before expiry."""
        while True:
            async with tasks.background(self._replacement_due(connection), name="pilot stream renewal") as due:
                await asyncio.wait({connection.following, due}, return_when=asyncio.FIRST_COMPLETED)
            if connection.following.done():
                return connection.following.result()
            successor = self._open(await self._identity.wait())
            if await successor.is_answered(_ANSWER_WITHIN):
                self._connection = successor
                await connection.close()
                connection = successor
                if connection.unhealthy != self._unhealthy:
                    await connection.send_health(self._unhealthy)
            else:
                await successor.close()

    async def _replacement_due(self, connection: "_Connection") -> None:
        while self._identity.current is connection.identity:
            self._renewed.clear()
            await self._renewed.wait()
        left = (connection.identity.not_after - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(0.0, left) * random.uniform(0.1, 0.6))  # noqa: S311 - spreads a fleet

    def _answered_now(self) -> None:
        self._heard.set()
        self._on_answered()

    def _open(self, identity: ServiceIdentity) -> "_Connection":
        told = _Told(self._answered_now, self._on_names, self._on_bootstrap, self._kept)
        believed = self._identity.for_pilot(identity)
        return _Connection(self._pilot, self._node, identity, believed, self._unhealthy, told)


class _Told(NamedTuple):
    """Who is told what Pilot says."""

    answered: Callable[[], None]
    names: Callable[[bytes], None]
    bootstrap: Callable[[bytes], None] | None
    kept: Sequence[Kept]


class _Connection:
    """One stream on one channel of its own."""

    def __init__(
        self,
        pilot: HostPort,
        node: Any,
        identity: ServiceIdentity,
        believed: ServiceIdentity,
        unhealthy: str | None,
        told: _Told,
    ) -> None:
        self.identity = identity
        self.answered = asyncio.Event()
        self.health_known = asyncio.Event()
        self._node = node
        self.unhealthy = unhealthy
        self._told = told
        self._writing = asyncio.Lock()
        self._introduced = False
        self._channel = grpc.aio.secure_channel(str(pilot), grpc_channel_credentials(believed), options=CHANNEL_OPTIONS)
        self._call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(self._channel).DeltaAggregatedResources()
        self.following = tasks.create_task(self._follow(), name="pilot stream")

    async def is_answered(self, within: float) -> bool:
        """Whether Pilot answers before the stream ends or the time is up."""
        async with tasks.background(self.answered.wait(), name="pilot answer") as answer:
            await asyncio.wait({self.following, answer}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        return self.answered.is_set()

    async def send_health(self, unhealthy: str | None) -> None:
        """One HealthInformation; an unhealthy one carries the reason as its error."""
        self.unhealthy = unhealthy
        if not self._introduced:
            return  # the node must go first; the health follows it
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=HEALTH_TYPE)
        if unhealthy is not None:
            request.error_detail.code = _INTERNAL
            request.error_detail.message = unhealthy
        await self._send(request)

    def ask(self, type_url: str, added: list[str], gone: list[str]) -> None:
        """Names that are wanted from now on, and that are not any more."""
        if self._introduced:
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=added, resource_names_unsubscribe=gone
            )
            tasks.create_task(self._send(request), name="pilot stream question")

    async def half_close(self) -> None:
        """Say that nothing more comes and let Pilot end the stream."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                async with self._writing:
                    await self._call.done_writing()
                await asyncio.shield(self.following)
        await self.close()

    async def close(self) -> None:
        """Cancel what is left."""
        self._call.cancel()
        await tasks.cancel(self.following)
        await self._channel.close()

    async def _follow(self) -> str:
        try:
            # The node goes first and once; the subscription to the names is the question that Pilot answers.
            await self._send(discovery_pb2.DeltaDiscoveryRequest(node=self._node, type_url=NAME_TABLE_TYPE))
            self._introduced = True
            if self._told.bootstrap is not None:
                names = [BOOTSTRAP_PATCH]
                wanted = discovery_pb2.DeltaDiscoveryRequest(type_url=BOOTSTRAP_TYPE, resource_names_subscribe=names)
                await self._send(wanted)
            for one in self._told.kept:
                await self._ask_for_all(one)
            await self.send_health(self.unhealthy)
            while (response := await self._call.read()) is not grpc.aio.EOF:
                await self._received(response)
            return f"{(await self._call.code()).name}: {await self._call.details() or 'no detail'}"
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"

    async def _ask_for_all(self, kept: Kept) -> None:
        if not (names := kept.wanted):
            return
        wanted = discovery_pb2.DeltaDiscoveryRequest(type_url=kept.type_url, resource_names_subscribe=list(names))
        wanted.initial_resource_versions.update({name: version for name, version in names.items() if version})
        await self._send(wanted)

    async def _received(self, response: Any) -> None:
        _RESPONSES.inc()
        if not self.answered.is_set():
            self.answered.set()
            self._told.answered()
        if response.type_url == NAME_TABLE_TYPE:
            for resource in response.resources:
                self._told.names(resource.resource.value)
        elif response.type_url == BOOTSTRAP_TYPE and self._told.bootstrap is not None:
            self._told.bootstrap(response.resources[0].resource.value if response.resources else b"")
        elif response.type_url == HEALTH_TYPE:
            # Not acknowledged: a message of this type from us is news of our health.
            self.health_known.set()
            return
        for kept in self._told.kept:
            if kept.type_url == response.type_url:
                kept.received(response)
        acknowledgement = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        await self._send(acknowledgement)

    async def _send(self, request: Any) -> None:
        async with self._writing:
            if self._call.done():
                return
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                # A stream that ends while it is written to is reported by its reader.
                await self._call.write(request)
        _REQUESTS.inc()
