"""Whether certificates of others may sign: what plugged-in authorities and signers are looked at for. Pure.

Every refusal is a FAILED_PRECONDITION that names where the certificate came from.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from meshcore.errors import ErrorCode, MeshError
from meshcore.pem import count_certificates


def refused(source: str, reason: str) -> MeshError:
    """The one shape of a refusal."""
    return MeshError(ErrorCode.FAILED_PRECONDITION, f"{source}: {reason}")


def read_certificates(source: str, pem: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM text, which holds nothing that is cut off."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    # The reader passes over a block that is cut off; here that is half of a bundle.
    if not found or count_certificates(pem) != len(found):
        raise refused(source, "is not made of whole PEM certificates")
    return found


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's key has signed it and its name is the issuer's."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def is_valid_at(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether its life has begun and not ended."""
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def check_root(source: str, root: x509.Certificate) -> None:
    """That a certificate may sign others and is its own issuer."""
    check_may_sign(source, root)
    if not is_issued_by(root, root):
        raise refused(source, f"{root.subject.rfc4514_string()} is not self-signed, so it is no root")


def check_may_sign(source: str, certificate: x509.Certificate) -> None:
    """That a certificate is an authority's."""
    try:
        ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        # A certificate without a key usage may be used for everything (RFC 5280, 4.2.1.3).
        if error.oid != x509.KeyUsage.oid:
            raise refused(source, "a certificate has no basic constraints, so it may not sign others") from None
        return
    except ValueError:
        raise refused(source, "a certificate has extensions that cannot be read") from None
    if not ca or not usage.key_cert_sign:
        raise refused(source, "a certificate may not sign others: it is a leaf, not an authority's")


def check_order(source: str, path: Iterable[x509.Certificate]) -> None:
    """That each certificate is signed by the next one, which may do that."""
    for number, (lower, upper) in enumerate(pairwise(path), 1):
        if not is_issued_by(lower, upper):
            raise refused(source, f"certificate {number + 1} did not sign certificate {number}: is the order right?")
        check_may_sign(source, upper)
