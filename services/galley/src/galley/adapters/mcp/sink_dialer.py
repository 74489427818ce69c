"""Galley as the source that dials: one stream to the ResourceSink at `sink_address`, again whenever it ends."""

import asyncio
import random
from typing import Any

import grpc.aio
import structlog
from meshcore.errors import MeshError
from meshcore.tls import LiveIdentity, grpc_channel_credentials

from galley.adapters.mcp import telemetry
from galley.adapters.mcp.conversation import converse, new_stream_id
from galley.adapters.mcp.live_view import LiveView
from galley.core.mcp.frames import mcp_frame, parse_mcp_request
from galley.core.mcp.source_session import SourceSession

METHOD = "/istio.mcp.v1alpha1.ResourceSink/EstablishResourceStream"
FIRST_PAUSE, LAST_PAUSE = 0.2, 30.0
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.keepalive_time_ms", 60000), ("grpc.enable_retries", 0))

_log = structlog.get_logger("mcp")


class SinkDialer:
    """`run()` keeps a stream open for ever. The sink must show a certificate of our trust bundle for this address."""

    def __init__(self, address: str, identity: LiveIdentity, view: LiveView) -> None:
        self._address = address
        self._identity = identity
        self._view = view

    async def run(self) -> None:
        """Dial, serve, and dial again with a growing pause; a stream on which the sink asked resets it."""
        pause = FIRST_PAUSE
        while True:
            asked = await self._once()
            telemetry.RECONNECTIONS.inc()
            pause = FIRST_PAUSE if asked else min(pause * 2, LAST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads dials, not a secret

    async def _once(self) -> bool:
        """One stream; whether the sink asked for anything on it."""
        session = SourceSession(new_stream_id())
        asked = False

        def parse(data: bytes) -> Any:
            nonlocal asked
            asked = True
            return parse_mcp_request(data)

        credentials = grpc_channel_credentials(self._identity.current)
        async with grpc.aio.secure_channel(self._address, credentials, options=_OPTIONS) as channel:
            call = channel.stream_stream(METHOD)()
            try:
                reason = await converse(call, session, self._view, parse, mcp_frame)
            except grpc.aio.AioRpcError as error:
                reason = str(error.code().name)
            except MeshError as error:
                reason = error.detail
            finally:
                call.cancel()
        _log.warning("stream to the sink ended", sink=self._address, reason=reason)
        return asked
