"""The two services that Galley serves: MCP's ResourceSource (mTLS) and MCP over xDS (by network)."""

from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore.errors import GRPC_STATUS, MeshError
from meshcore.tls import LiveIdentity, spiffe_of_certificate, unrevoked_chain, until_revoked

from galley.adapters.mcp import telemetry
from galley.adapters.mcp.conversation import converse, new_stream_id
from galley.adapters.mcp.live_view import LiveView
from galley.core.mcp.access import AllowedIdentities, AllowedNetworks
from galley.core.mcp.frames import mcp_frame, parse_mcp_request, parse_xds_request, xds_frame
from galley.core.mcp.source_session import SourceSession
from galley.core.mcp.xds_session import XdsSession

SOURCE = "istio.mcp.v1alpha1.ResourceSource"
XDS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

_log = structlog.get_logger("mcp")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def source_handler(view: LiveView, allowed: AllowedIdentities, identity: LiveIdentity) -> Any:
    """The generic handler of ResourceSource; a stream ends with its certificate, or when that is revoked."""

    async def establish(_: Any, context: Any) -> None:
        async def serve() -> str:
            chain = unrevoked_chain(context, identity)
            allowed.check(spiffe_of_certificate(chain[0]) if chain else None)
            expires = (chain[0].not_valid_after_utc - datetime.now(UTC)).total_seconds()
            session = SourceSession(new_stream_id())
            async with until_revoked(identity, chain):
                return await converse(context, session, view, parse_mcp_request, mcp_frame, expires=expires)

        await _answer(context, serve)

    return grpc.method_handlers_generic_handler(
        SOURCE, {"EstablishResourceStream": grpc.stream_stream_rpc_method_handler(establish)}
    )


def xds_handler(view: LiveView, allowed: AllowedNetworks) -> Any:
    """The generic handler of the state-of-the-world ADS stream; istiod knows no other."""

    async def stream(_: Any, context: Any) -> None:
        async def serve() -> str:
            allowed.check(context.peer())
            return await converse(context, XdsSession(new_stream_id()), view, parse_xds_request, xds_frame)

        await _answer(context, serve)

    return grpc.method_handlers_generic_handler(
        XDS, {"StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(stream)}
    )


async def _answer(context: Any, serve: Any) -> None:
    _log.info("stream began", peer=context.peer())
    try:
        reason = await serve()
    except MeshError as error:
        telemetry.RECEIVE_FAILURES.inc()
        _log.warning("stream refused", peer=context.peer(), code=error.code.value, detail=error.detail)
        await context.abort(_CODES[GRPC_STATUS[error.code]], error.detail)
    else:
        _log.info("stream ended", peer=context.peer(), reason=reason)
