"""Which certificates are revoked, by the lists that Citadel pushes beside the roots.

Looked at where a peer's identity is read, by issuer and number, as Citadel does: gRPC for Python takes no lists, and
OpenSSL refuses everybody whose issuer has none, or one that has expired.
"""

from collections.abc import Iterable, Sequence

from cryptography import x509

_BEGIN = b"-----BEGIN X509 CRL-----"
_END = b"-----END X509 CRL-----"


def revocation_lists(pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Every list (PEM, one after the other); ValueError when one is cut off or unreadable."""
    found = []
    for part in pem.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        found.append(x509.load_pem_x509_crl(_BEGIN + body + end + b"\n"))
    return tuple(found)


def revokes(lists: Sequence[x509.CertificateRevocationList], chain: Iterable[x509.Certificate]) -> bool:
    """Whether a certificate of the chain is on the list of its issuer."""
    return any(
        one.issuer == certificate.issuer
        and one.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
        for certificate in chain
        for one in lists
    )
