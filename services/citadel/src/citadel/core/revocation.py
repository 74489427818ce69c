"""Revocation lists of a plugged-in authority. Pure.

Envoy and OpenSSL refuse every peer when a list is missing for any authority of its chain, or has expired. So lists are
taken whole or not at all: one for each authority, signed by it, in force now.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import ErrorCode, MeshError
from meshcore.tls.revocation import revocation_lists


def read_lists(
    file: str, pem: bytes, authorities: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of a file; FAILED_PRECONDITION when one is unreadable, a stranger's, expired or missing."""
    lists = _parse(file, pem)
    for one in lists:
        if not any(_signed_by(one, authority) for authority in authorities):
            raise _refused(file, f"a list of {one.issuer.rfc4514_string()} is not signed by an authority of the chain")
        if one.next_update_utc is None or one.next_update_utc <= now or one.last_update_utc > now:
            raise _refused(file, f"the list of {one.issuer.rfc4514_string()} is not in force now")
    for authority in authorities:
        if not any(_signed_by(one, authority) for one in lists):
            raise _refused(file, f"there is no list of {authority.subject.rfc4514_string()}")
    return lists


def _parse(file: str, pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        found = revocation_lists(pem)
    except ValueError:
        raise _refused(file, "is not made of whole PEM revocation lists") from None
    if not found:
        raise _refused(file, "holds no PEM revocation list")
    return found


def _signed_by(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if one.issuer != authority.subject or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return one.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _refused(file: str, reason: str) -> MeshError:
    return MeshError(ErrorCode.FAILED_PRECONDITION, f"{file}: {reason}")
