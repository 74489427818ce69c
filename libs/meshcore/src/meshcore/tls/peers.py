"""Who is on the other side of a TLS connection, as its certificate says."""

from typing import Any

from cryptography import x509

from meshcore.errors import MeshError
from meshcore.identity import SpiffeId


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


def peer_certificate(context: Any) -> x509.Certificate | None:
    """The verified client certificate of a gRPC call, or None when the client showed none."""
    found = context.auth_context().get("x509_pem_cert")
    if not found:
        return None
    try:
        return x509.load_pem_x509_certificate(bytes(found[0]))
    except ValueError:
        return None


def peer_spiffe(context: Any) -> SpiffeId | None:
    """The identity of a gRPC caller by its client certificate."""
    certificate = peer_certificate(context)
    return None if certificate is None else spiffe_of_certificate(certificate)
