"""`ssl` contexts from an identity: TLS 1.2 at least, and the trust bundle only."""

import os
import ssl
from typing import Literal

from meshcore.tls.identity import LiveIdentity, ServiceIdentity

ClientCertificates = Literal["none", "optional", "required"]
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def ssl_server_context(
    identity: ServiceIdentity | LiveIdentity, *, client_certificates: ClientCertificates = "none"
) -> ssl.SSLContext:
    """A server context; a certificate that a client shows is always verified against the trust bundle.

    With a `LiveIdentity` handshakes after a renewal use the new certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = _VERIFY[client_certificates]
    _follow(context, identity)
    return context


def ssl_client_context(identity: ServiceIdentity | LiveIdentity) -> ssl.SSLContext:
    """A client context that shows this identity, trusts only its bundle and checks the server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _follow(context, identity)
    return context


def ssl_root_context(root: bytes) -> ssl.SSLContext:
    """A client context that trusts only `root` (PEM) and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=root.decode("ascii"))
    return context


def _follow(context: ssl.SSLContext, identity: ServiceIdentity | LiveIdentity) -> None:
    if isinstance(identity, LiveIdentity):
        identity.on_change(lambda renewed: _load(context, renewed))
        identity = identity.current
    _load(context, identity)


def _load(context: ssl.SSLContext, identity: ServiceIdentity) -> None:
    # The ssl module reads key pairs from files only; an anonymous memory file keeps the key off every file system.
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as pair:
            pair.write(identity.key.pem + b"\n" + identity.chain)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    context.load_verify_locations(cadata=identity.root.decode("ascii"))
