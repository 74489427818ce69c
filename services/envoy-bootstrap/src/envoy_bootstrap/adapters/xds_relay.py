"""Passes the streams of gRPC libraries on to Pilot: what comes on the workload's socket goes out with its certificate.

Nothing is looked at: Pilot checks the node against the certificate, as it does an Envoy's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore.tls import ServiceIdentity, grpc_channel_credentials

from envoy_bootstrap.adapters.pilot_stream import CHANNEL_OPTIONS
from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.core.addresses import HostPort

_log = structlog.get_logger("xds relay")
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_METHODS = ("StreamAggregatedResources", "DeltaAggregatedResources")


class XdsRelay:
    """Each stream has a connection of its own, so that it presents the certificate in force when it began."""

    def __init__(self, pilot: HostPort, identity: WorkloadIdentity) -> None:
        self._pilot = pilot
        self._identity = identity

    def register(self, server: Any) -> None:
        """Serve both variants of the protocol; messages stay bytes."""
        handlers = {name: grpc.stream_stream_rpc_method_handler(self._passing(name)) for name in _METHODS}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))

    def _passing(self, method: str) -> Callable[[Any, Any], AsyncIterator[bytes]]:
        async def pass_on(requests: Any, context: Any) -> AsyncIterator[bytes]:
            identity = await self._identity.wait()
            async with self._channel(identity) as channel:
                call = channel.stream_stream(f"/{_SERVICE}/{method}")(requests)
                try:
                    async for response in call:
                        yield response
                except grpc.aio.AioRpcError as error:
                    _log.info("stream ended", code=error.code().name, reason=error.details())
                    await context.abort(error.code(), error.details() or "")
                except asyncio.CancelledError:
                    call.cancel()
                    raise

        return pass_on

    def _channel(self, identity: ServiceIdentity) -> Any:
        credentials = grpc_channel_credentials(self._identity.for_pilot(identity))
        return grpc.aio.secure_channel(str(self._pilot), credentials, options=CHANNEL_OPTIONS)
