"""The certificate that a workload presents to its callers, and what it answers to a caller without TLS."""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A presented certificate whose chain leads to the mesh root."""

    spiffe_id: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    tls: str


def presented_certificate(host: str, port: int, identity: Path) -> PeerCertificate:
    """Shakes hands as the identity in a directory and reads the peer's certificate.

    Raises ssl.SSLError when the chain does not lead to that identity's root, OSError when nobody answers.
    """
    context = ssl.create_default_context(cafile=str(identity / "root-cert.pem"))
    context.check_hostname = False  # a workload is known by its SPIFFE id, which is returned
    context.load_cert_chain(identity / "cert-chain.pem", identity / "key.pem")
    context.set_alpn_protocols(["istio"])
    with socket.create_connection((host, port), TIMEOUT) as plain, context.wrap_socket(plain) as secured:
        encoded = secured.getpeercert(binary_form=True)
        version = secured.version() or ""
    certificate = x509.load_der_x509_certificate(encoded or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return PeerCertificate(
        spiffe_id=names.get_values_for_type(x509.UniformResourceIdentifier)[0],
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        tls=version,
    )


def plaintext_answer(host: str, port: int, authority: str) -> str:
    """The status line that a caller without TLS gets, or `refused: ...` when the connection is closed on it."""
    request = f"GET / HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), TIMEOUT) as connection:
            connection.sendall(request.encode())
            line = connection.makefile("rb").readline()
    except OSError as error:
        return f"refused: {error.strerror or error}"
    return line.decode("latin-1").strip() or "refused: connection closed without an answer"
