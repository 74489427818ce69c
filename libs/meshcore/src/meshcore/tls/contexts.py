"""`ssl` contexts from an identity: TLS 1.2 at least, and the trust bundle only."""

import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Literal

from meshcore.tls.identity import LiveIdentity, ServiceIdentity

ClientCertificates = Literal["none", "optional", "required"]
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def ssl_server_context(
    identity: ServiceIdentity | LiveIdentity, *, client_certificates: ClientCertificates = "none"
) -> ssl.SSLContext:
    """A server context; a certificate that a client shows is always verified against the trust bundle.

    With a `LiveIdentity` handshakes after a renewal use the new certificate and the new bundle.
    """

    def make(current: ServiceIdentity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Of TLS 1.2: a client could have a handshake made again and again.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.verify_mode = _VERIFY[client_certificates]
        if client_certificates != "none":
            # A ticket has the client's certificate in it: to make two of them is a quarter of a handshake, and those
            # who show certificates stay connected.
            context.num_tickets = 0
        _load(context, current)
        return context

    return _following(identity, make, ssl.PROTOCOL_TLS_SERVER)


def ssl_client_context(identity: ServiceIdentity | LiveIdentity) -> ssl.SSLContext:
    """A client context that shows this identity, trusts only its bundle and checks the server's name."""

    def make(current: ServiceIdentity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(context, current)
        return context

    return _following(identity, make, ssl.PROTOCOL_TLS_CLIENT)


def ssl_root_context(root: bytes) -> ssl.SSLContext:
    """A client context that trusts only `root` (PEM) and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=root.decode("ascii"))
    return context


class _LiveContext(ssl.SSLContext):
    """Hands every handshake to a context of the identity in force: the ssl module can add roots, never take one away.

    What else is set on it after it was made (but for ALPN) does not reach those contexts.
    """

    _inner: ssl.SSLContext
    _protocols: Sequence[str] | None = None

    def use(self, inner: ssl.SSLContext) -> None:
        """From the next handshake on."""
        if self._protocols is not None:
            inner.set_alpn_protocols(list(self._protocols))
        self._inner = inner

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Of this and every later context."""
        self._protocols = tuple(alpn_protocols)
        self._inner.set_alpn_protocols(list(self._protocols))

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """By the identity in force."""
        return self._inner.wrap_socket(*arguments, **options)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """By the identity in force."""
        return self._inner.wrap_bio(*arguments, **options)


def _following(
    identity: ServiceIdentity | LiveIdentity, make: Callable[[ServiceIdentity], ssl.SSLContext], protocol: int
) -> ssl.SSLContext:
    if isinstance(identity, ServiceIdentity):
        return make(identity)
    context = _LiveContext(protocol)
    context.use(make(identity.current))
    identity.on_change(lambda renewed: context.use(make(renewed)))
    return context


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
