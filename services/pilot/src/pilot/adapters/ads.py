"""The ADS service on grpc.aio: bytes in, bytes out; who the client is, and how long it may stay."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from meshcore.errors import GRPC_STATUS, ErrorCode, MeshError
from meshcore.identity import trust_domain_name
from meshcore.xds import delta, sotw

from pilot.adapters import telemetry
from pilot.adapters.client_authentication import Client, ClientAuthentication
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.hub import Hub, Ticket
from pilot.adapters.registrations import Registrations
from pilot.adapters.stream_runner import Channel, StreamRunner
from pilot.core.authorization import proven
from pilot.core.proxy import Proxy, parse_node
from pilot.settings import PilotSettings

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
OPTIONS = (
    # Envoy's keepalive pings come every few seconds; gRPC's default is to end the connection for that.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    # A peer that is gone without a word is noticed after these (Istio's values), not when its stream is too old.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", -1),
)
"""Server options of every ADS port."""

_log = structlog.get_logger("ads")
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FIRST_REQUEST_TIMEOUT = 10.0
_LONGEST_DETAIL = 1000
"""Characters of a refusal, which may quote the node: a client's gRPC library takes no status of more than 8 KiB."""
_REFUSAL_PAUSE = 0.1
"""Seconds before a stream is refused: a client that is still writing its first requests would see a failed write, not
the status that says why. It also slows down those that come back at once."""


class AdsService:
    """Serves delta and state-of-the-world streams. Without `authentication` every client is what its node says, and has
    no identity."""

    def __init__(
        self,
        hub: Hub,
        registrations: Registrations | None,
        settings: PilotSettings,
        authentication: ClientAuthentication | None,
        debug: DebugStream | None = None,
    ) -> None:
        self._hub = hub
        self._registrations = registrations
        self._settings = settings
        self._authentication = authentication
        self._debug = debug

    def handler(self) -> Any:
        """The generic handler for a grpc.aio server; requests and responses stay bytes."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self._serving(delta)),
                "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(self._serving(sotw)),
            },
        )

    def _serving(self, front: ModuleType) -> Callable[[Any, Any], Any]:
        async def serve(_: Any, context: Any) -> None:
            try:
                await self._serve(front, context)
            except MeshError as error:
                telemetry.REFUSED_STREAMS.labels(error.code.value).inc()
                detail = error.detail[:_LONGEST_DETAIL]
                _log.warning("stream refused", peer=self._address(context), code=error.code.value, detail=detail)
                await asyncio.sleep(_REFUSAL_PAUSE)
                await context.abort(_CODES[GRPC_STATUS[error.code]], detail)
            except DecodeError:
                telemetry.REFUSED_STREAMS.labels("malformed").inc()
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no discovery request")
            except Exception as error:
                telemetry.INTERNAL_ERRORS.inc()
                _log.error("stream failed", peer=self._address(context), exc_info=error)
                raise

        return serve

    async def _serve(self, front: ModuleType, context: Any) -> None:
        client = None
        if self._authentication is not None:
            client = await self._authentication.client(context, self._aliases())
        # Before a place is taken: whoever says nothing needs none.
        first = await self._first(context)
        if first is grpc.aio.EOF:
            return
        async with self._hub.admitted() as ticket:
            request, node = front.parse(first)
            proxy, expires = self._authorise(parse_node(node), client)
            async with self._while_unrevoked(client):
                await self._run(front, context, proxy, request, expires, ticket)

    def _while_unrevoked(self, client: Client | None) -> contextlib.AbstractAsyncContextManager[None]:
        if client is None or self._authentication is None:
            return contextlib.nullcontext()
        return self._authentication.while_unrevoked(client)

    async def _first(self, context: Any) -> Any:
        try:
            async with asyncio.timeout(_FIRST_REQUEST_TIMEOUT):
                return await context.read()
        except TimeoutError:
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the stream did not begin with a request in time") from None

    async def _run(self, front: Any, context: Any, proxy: Proxy, request: Any, expires: float, ticket: Ticket) -> None:
        stream, wake = self._hub.connect(proxy, front, self._address(context))
        runner = StreamRunner(
            self._hub, stream, wake, Channel(context, front.parse), ticket, self._settings.first_config_timeout
        )
        if (debug := self._debug) is not None:
            runner.on_debug = lambda asked: debug.answer(proxy, front, asked)
        _log.info("stream began", proxy=proxy.id, connection=stream.connection_id, variant=front.NAME)
        reason = "broken"
        try:
            if self._registrations is not None:
                await self._registrations.began(stream)
                runner.on_health = lambda healthy: self._registrations_health(stream, healthy)
            reason = await runner.run(request, expires)
        finally:
            self._hub.disconnect(stream)
            if self._registrations is not None:
                self._registrations.ended(stream, orderly=reason == "client ended")
            _log.info("stream ended", proxy=proxy.id, connection=stream.connection_id, reason=reason)

    def _registrations_health(self, stream: Any, healthy: bool) -> None:
        if self._registrations is not None:
            self._registrations.health(stream, healthy=healthy)

    def _authorise(self, proxy: Proxy, client: Client | None) -> tuple[Proxy, float]:
        """Check the node against the client; until when the stream may last, in seconds of the monotonic clock."""
        age = self._settings.stream_max_age.total_seconds() * random.uniform(0.8, 1.2)  # noqa: S311 - spreads reconnects
        end = time.monotonic() + age
        if client is None:
            return proxy, end
        proxy = proven(proxy, client.identity, self._settings.trust_domain, self._aliases())
        if client.ends is None:
            return proxy, end
        return proxy, min(end, time.monotonic() + (client.ends - datetime.now(UTC)).total_seconds())

    def _address(self, context: Any) -> str:
        return str(context.peer()) if self._authentication is None else self._authentication.address(context)

    def _aliases(self) -> tuple[str, ...]:
        return tuple(map(trust_domain_name, self._hub.engine.snapshot.mesh_config.trust_domain_aliases))
