"""The ADS service: who the client of a stream is, and how long it may stay."""

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime
from functools import partial

import structlog
from google.protobuf.message import DecodeError
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Call, Handler, Streaming
from meshcore.identity import trust_domain_name
from meshcore.xds import delta, sotw
from meshcore.xds.request import Request
from meshcore.xds.session import Front

from pilot.adapters import telemetry
from pilot.adapters.client_authentication import Client, ClientAuthentication
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.hub import Hub
from pilot.adapters.registrations import Registrations
from pilot.adapters.stream_runner import StreamRunner
from pilot.adapters.ticket import Ticket
from pilot.core.authorization import proven
from pilot.core.node import parse_node
from pilot.core.proxy import Proxy
from pilot.core.tenants import client_of
from pilot.settings import PilotSettings

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_log = structlog.get_logger("ads")
_FIRST_REQUEST_TIMEOUT = 10.0
KEYS_WITHIN = 6.0
"""Seconds that a new stream waits at most for the first try of the keys that its config needs: without them a workload
would refuse good tokens, and one that has been here before has them."""
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

    @property
    def handlers(self) -> dict[str, Handler]:
        """Its methods by their paths."""
        return {
            f"/{SERVICE}/DeltaAggregatedResources": Streaming(partial(self._serve, delta), guarded=True),
            f"/{SERVICE}/StreamAggregatedResources": Streaming(partial(self._serve, sotw), guarded=True),
        }

    async def _serve(self, front: Front, call: Call) -> None:
        try:
            await self._converse(front, call)
        except MeshError as error:
            telemetry.REFUSED_STREAMS.labels(error.code.value).inc()
            detail = error.detail[:_LONGEST_DETAIL]
            _log.warning("stream refused", peer=call.peer.address, code=error.code.value, detail=detail)
            await asyncio.sleep(_REFUSAL_PAUSE)
            raise MeshError(error.code, detail) from error
        except DecodeError:
            telemetry.REFUSED_STREAMS.labels("malformed").inc()
            raise MeshError(ErrorCode.INVALID, "the request is no discovery request") from None
        except Exception:
            telemetry.INTERNAL_ERRORS.inc()
            raise

    async def _converse(self, front: Front, call: Call) -> None:
        client = None
        if self._authentication is not None:
            client = await self._authentication.client(call, self._aliases())
        call.welcome()
        # Before a place is taken: whoever says nothing needs none.
        first = await self._first(call)
        if first is None:
            return
        who = client_of("" if client is None else str(client.identity), call.peer.address)
        async with self._hub.line.admitted(who) as ticket:
            request, node = self._hub.engine.frames.openings.read(front, first)
            proxy, expires = self._authorise(parse_node(node), client)
            opening = [request]
            # What this frame holds lives as long as the stream: Envoy's first request with its node takes 200 KiB.
            del first, node, request
            async with self._while_unrevoked(client):
                await self._run(front, call, proxy, opening, expires, ticket)

    def _while_unrevoked(self, client: Client | None) -> contextlib.AbstractAsyncContextManager[None]:
        if client is None or self._authentication is None:
            return contextlib.nullcontext()
        return self._authentication.while_unrevoked(client)

    async def _first(self, call: Call) -> bytes | None:
        try:
            async with asyncio.timeout(_FIRST_REQUEST_TIMEOUT):
                return await call.read()
        except TimeoutError:
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the stream did not begin with a request in time") from None

    async def _run(
        self, front: Front, call: Call, proxy: Proxy, opening: list[Request], expires: float, ticket: Ticket
    ) -> None:
        stream, wake = self._hub.connect(proxy, front, call.peer.address)
        within = self._settings.first_config_timeout
        runner = StreamRunner(self._hub, stream, wake, call, front, ticket, within)
        if (debug := self._debug) is not None:
            runner.on_debug = lambda asked: debug.answer(proxy, front, asked)
        _log.info("stream began", proxy=proxy.id, connection=stream.connection_id, variant=front.NAME)
        reason = "broken"
        try:
            if (registrations := self._registrations) is not None:
                await registrations.began(stream)
                runner.on_health = lambda healthy: registrations.health(stream, healthy=healthy)
            await self._hub.keys_tried(stream, KEYS_WITHIN)
            reason = await runner.run(opening, expires)
        finally:
            self._hub.disconnect(stream)
            if self._registrations is not None:
                self._registrations.ended(stream, orderly=reason == "client ended")
            _log.info("stream ended", proxy=proxy.id, connection=stream.connection_id, reason=reason)

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

    def _aliases(self) -> tuple[str, ...]:
        return tuple(map(trust_domain_name, self._hub.engine.snapshot.mesh_config.trust_domain_aliases))
