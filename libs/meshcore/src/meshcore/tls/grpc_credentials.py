"""gRPC credentials from an identity; servers take a renewed certificate into use without a restart."""

from typing import Any

from meshcore.tls.identity import LiveIdentity, ServiceIdentity


def grpc_server_credentials(identity: ServiceIdentity | LiveIdentity, *, require_client: bool = True) -> Any:
    """Server credentials; with `require_client` only peers with a certificate of the trust bundle connect.

    gRPC's Python API cannot ask for a certificate without insisting on it: without `require_client` no peer has one.
    """
    import grpc

    live = identity if isinstance(identity, LiveIdentity) else LiveIdentity(identity)
    served: ServiceIdentity | None = None

    def configuration(of: ServiceIdentity) -> Any:
        return grpc.ssl_server_certificate_configuration(
            [(of.key.pem, of.chain)], root_certificates=of.root if require_client else None
        )

    def fetch() -> Any:
        nonlocal served
        current = live.current
        if current is served:
            return None
        served = current
        return configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        configuration(live.current), fetch, require_client_authentication=require_client
    )


def grpc_channel_credentials(identity: ServiceIdentity) -> Any:
    """Channel credentials that show this identity and trust only its bundle."""
    import grpc

    return grpc.ssl_channel_credentials(
        root_certificates=identity.root, private_key=identity.key.pem, certificate_chain=identity.chain
    )


def grpc_root_credentials(root: bytes) -> Any:
    """Channel credentials that only verify the server against `root` (PEM) and show nothing."""
    import grpc

    return grpc.ssl_channel_credentials(root_certificates=root)
