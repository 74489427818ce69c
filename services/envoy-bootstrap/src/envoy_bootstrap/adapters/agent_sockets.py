"""The Unix sockets on which Envoy finds its agent: secrets, the last good configuration, access records, and extensions
whose modules the agent pulls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from envoy.service.accesslog.v3 import als_pb2_grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.extension.v3 import config_discovery_pb2_grpc

from envoy_bootstrap.adapters.access_log_service import AccessLogService
from envoy_bootstrap.adapters.bootstrap_source import ADS_SOCKET, AUDIT_SOCKET, EXTENSIONS_SOCKET
from envoy_bootstrap.adapters.local_discovery import KeptServer, LastGoodService
from envoy_bootstrap.adapters.pulled_extensions import ExtensionService, PulledExtensions
from envoy_bootstrap.adapters.secret_sockets import SecretSockets


async def start_agent_sockets(
    runtime: Any,
    directory: Path,
    secrets: SecretSockets,
    last_good: LastGoodService,
    records: AccessLogService,
    extensions: PulledExtensions,
) -> list[KeptServer]:
    """Serve them until the agent ends."""
    secrets.make_room()
    runtime.on_stop("extensions", extensions.stop)
    pulled = ExtensionService(extensions.served)
    register_extensions = config_discovery_pb2_grpc.add_ExtensionConfigDiscoveryServiceServicer_to_server
    services: dict[Path, Callable[[Any], None]] = {
        **secrets.services,
        directory / ADS_SOCKET: lambda s: ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(last_good, s),
        directory / AUDIT_SOCKET: lambda s: als_pb2_grpc.add_AccessLogServiceServicer_to_server(records, s),
        directory / EXTENSIONS_SOCKET: lambda s: register_extensions(pulled, s),
    }
    servers = []
    for place, register in services.items():
        server = KeptServer(place, register)
        await server.start()
        runtime.on_stop(place.name, server.stop)
        runtime.spawn(f"socket {place.name}", server.keep)
        servers.append(server)
    return servers
