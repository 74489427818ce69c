"""Who is on the other side of a TLS connection, as its certificate says."""

from typing import TYPE_CHECKING, Any

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

_DER = 2
"""The ssl module's own word for this form."""

if TYPE_CHECKING:
    from meshcore.tls.identity import LiveIdentity


def spiffe_of_certificate(certificate: x509.Certificate) -> SpiffeId | None:
    """The workload identity of a certificate; None unless it has exactly one URI name and that is an identity."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        return None
    try:
        return SpiffeId.parse(uris[0])
    except MeshError:
        return None


def spiffe_of_der(der: bytes | None) -> SpiffeId | None:
    """The identity of a DER certificate that the TLS layer has already verified."""
    if not der:
        return None
    try:
        return spiffe_of_certificate(x509.load_der_x509_certificate(der))
    except ValueError:
        return None


def verified_chain(secured: Any) -> list[bytes]:
    """DER of what the peer of an `ssl.SSLObject` was verified by, leaf first; empty when it showed no certificate."""
    if secured is None or (leaf := secured.getpeercert(binary_form=True)) is None:
        return []
    # A resumed session brings the leaf alone.
    if (public := getattr(secured, "get_verified_chain", None)) is not None:
        return list(public()) or [leaf]
    # Before Python 3.13 the ssl module has it, but for itself alone.
    return [one.public_bytes(_DER) for one in secured._sslobj.get_verified_chain() or ()] or [leaf]


def unrevoked_chain(context: Any, identity: "LiveIdentity") -> list[x509.Certificate]:
    """The verified client certificate of a gRPC call and what the client showed above it; empty when it showed none.

    UNAUTHENTICATED when one of them is on a revocation list that came with `identity`'s roots.
    """
    chain = peer_chain(context)
    if identity.current.revokes(chain):
        raise MeshError(ErrorCode.UNAUTHENTICATED, "the client certificate is revoked")
    return chain


def peer_chain(context: Any) -> list[x509.Certificate]:
    """The verified client certificate of a gRPC call and what the client showed above it; empty when it showed none."""
    properties = context.auth_context()
    # On a server gRPC leaves the leaf out of the chain.
    found = [*properties.get("x509_pem_cert", ()), *properties.get("x509_pem_cert_chain", ())]
    if not properties.get("x509_pem_cert"):
        return []
    try:
        return x509.load_pem_x509_certificates(b"\n".join(map(bytes, found)))
    except ValueError:
        return []


def peer_spiffe(context: Any) -> SpiffeId | None:
    """The identity in the client certificate of a gRPC caller, revoked or not: to be shown, not to be trusted."""
    chain = peer_chain(context)
    return spiffe_of_certificate(chain[0]) if chain else None
