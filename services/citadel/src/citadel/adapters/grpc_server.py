"""The certificate service's port: TLS with optional client certificates in front of gRPC on a private Unix socket."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from meshcore._generated.istio.v1.auth import ca_pb2_grpc
from meshcore._generated.meshcore.audit.v1 import audit_pb2_grpc
from meshcore.tls import LiveIdentity, ssl_server_context
from meshcore.tls.front import TlsFront

from citadel.adapters.audit_service import AuditService
from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.caller_limits import CallerLimits
from citadel.adapters.certificate_service import CertificateService
from citadel.adapters.issuer import Issuer
from citadel.adapters.secret_discovery import SecretDiscovery
from citadel.core.profile import Profile

LARGEST_MESSAGE = 256 * 1024
MOST_AT_ONCE = 1000
GRACE = 2
"""Bytes of a request, requests in work (more are refused), and seconds that they get at a stop."""
_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60000),
    ("grpc.keepalive_timeout_ms", 20000),
)


@contextlib.asynccontextmanager
async def serving(
    *,
    host: str,
    port: int,
    identity: LiveIdentity,
    front: TlsFront,
    authenticator: CallerAuthenticator,
    issuer: Issuer,
    workload: Profile,
    root_namespace: str,
    limits: CallerLimits,
    secrets: SecretDiscovery,
    audit: AuditService,
) -> AsyncIterator[int]:
    """Serve certificates, the trust bundle and the audit for as long as the block lasts; gives the bound port."""
    server: Any = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MOST_AT_ONCE)
    service = CertificateService(authenticator, issuer, workload, root_namespace, front, limits)
    ca_pb2_grpc.add_IstioCertificateServiceServicer_to_server(service, server)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    server.add_generic_rpc_handlers((secrets,))
    context = ssl_server_context(identity, client_certificates="optional")
    try:
        async with front.before(server, host, port, context) as bound:
            yield bound
            await server.stop(GRACE)
    finally:
        await server.stop(0)
