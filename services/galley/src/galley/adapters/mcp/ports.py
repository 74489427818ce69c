"""Opens what the settings ask for: 9901 (mTLS), 9902 (server TLS, only with networks to allow), the dial to a sink."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, grpc_server_credentials

from galley.adapters.mcp.live_view import LiveView
from galley.adapters.mcp.services import source_handler, xds_handler
from galley.adapters.mcp.sink_dialer import SinkDialer
from galley.adapters.store import Store
from galley.core.mcp.access import AllowedIdentities, AllowedNetworks
from galley.settings import GalleySettings

_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_time_ms", 60000),
)


async def start_mcp(
    runtime: Runtime[GalleySettings], store: Store, identity: LiveIdentity, more_handlers: Sequence[Any] = ()
) -> None:
    """Bind and serve; `more_handlers` share the mTLS port and check their callers themselves."""
    settings = runtime.settings
    identities = AllowedIdentities.parse(settings.mcp_identities)
    networks = AllowedNetworks.parse(settings.mcp_xds_allow)
    view = LiveView(store)
    runtime.spawn("mcp-view", view.follow)
    secure = [source_handler(view, identities, identity), *more_handlers]
    await _serve(runtime, "mcp", settings.mcp_port, secure, grpc_server_credentials(identity))
    if networks.networks:
        credentials = grpc_server_credentials(identity, require_client=False)
        await _serve(runtime, "mcp-xds", settings.mcp_xds_port, [xds_handler(view, networks)], credentials)
    if settings.sink_address:
        runtime.spawn("mcp-sink", SinkDialer(settings.sink_address, identity, view).run)


async def _serve(runtime: Runtime[GalleySettings], name: str, port: int, handlers: list[Any], credentials: Any) -> None:
    host = runtime.settings.host
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(tuple(handlers))
    try:
        runtime.ports[name] = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {address}") from error
    await server.start()
    runtime.on_stop(name, lambda: server.stop(0))
