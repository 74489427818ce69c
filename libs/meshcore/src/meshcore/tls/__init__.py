"""TLS of the control plane: who we are, who the peer is, and renewal without a restart."""

from meshcore.tls.contexts import ssl_client_context, ssl_root_context, ssl_server_context
from meshcore.tls.grpc_credentials import grpc_channel_credentials, grpc_root_credentials, grpc_server_credentials
from meshcore.tls.identity import (
    LiveIdentity,
    ServiceIdentity,
    finish_saving,
    load_identity,
    save_identity,
    write_private,
)
from meshcore.tls.open_streams import until_revoked
from meshcore.tls.peers import peer_chain, peer_spiffe, spiffe_of_certificate, spiffe_of_der, unrevoked_chain
from meshcore.tls.private_key import PrivateKeyPem
from meshcore.tls.trust import Bundle, TrustFollower, leads_to_first

__all__ = [
    "Bundle",
    "LiveIdentity",
    "PrivateKeyPem",
    "ServiceIdentity",
    "TrustFollower",
    "finish_saving",
    "grpc_channel_credentials",
    "grpc_root_credentials",
    "grpc_server_credentials",
    "leads_to_first",
    "load_identity",
    "peer_chain",
    "peer_spiffe",
    "save_identity",
    "spiffe_of_certificate",
    "spiffe_of_der",
    "ssl_client_context",
    "ssl_root_context",
    "ssl_server_context",
    "unrevoked_chain",
    "until_revoked",
    "write_private",
]
