"""Check what the CA sent before anything uses it: a wrong pair must never replace a good one. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.tls import PrivateKeyPem, ServiceIdentity

CLOCK_TOLERANCE = timedelta(minutes=2)
"""How far this machine's clock may be behind the CA's; the CA dates its certificates back by as much."""


def read_issued(elements: Sequence[str], key: PrivateKeyPem, identity: SpiffeId, now: datetime) -> ServiceIdentity:
    """The identity made of `IstioCertificateResponse.cert_chain`: leaf first, the whole trust bundle last.

    FAILED_PRECONDITION when the chain is empty, unreadable, for another key or identity, broken, or not valid now.
    """
    if len(elements) < 2:
        raise _refused("the answer holds no chain: a leaf and the roots are expected")
    # As Istio's client does: the chain that is presented carries everything, the root included.
    chain = "".join(element if element.endswith("\n") else element + "\n" for element in elements).encode()
    root = elements[-1].encode()
    try:
        certificates = x509.load_pem_x509_certificates("".join(f"{part}\n" for part in elements[:-1]).encode())
        roots = x509.load_pem_x509_certificates(root)
    except ValueError as error:
        raise _refused("the answer holds something that is not a certificate") from error
    leaf = certificates[0]
    if _public_bytes(leaf.public_key()) != _public_bytes(
        serialization.load_pem_private_key(key.pem, None).public_key()
    ):
        raise _refused("the certificate is for another key")
    issued = ServiceIdentity(key=key, chain=chain, root=root)
    if issued.spiffe != identity:
        raise _refused(f"the certificate is for {issued.spiffe}, expected {identity}")
    if not leaf.not_valid_before_utc - CLOCK_TOLERANCE <= now < leaf.not_valid_after_utc:
        raise _refused("the certificate is not valid at this machine's time")
    if not _is_chained(certificates, roots):
        raise _refused("the certificate does not lead to any of the roots that came with it")
    return issued


def is_usable(identity: ServiceIdentity, expected: SpiffeId, now: datetime) -> bool:
    """Whether a pair that was stored earlier may still be served."""
    return identity.spiffe == expected and identity.not_before - CLOCK_TOLERANCE <= now < identity.not_after


def _is_chained(certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> bool:
    pairs = pairwise(certificates)
    if not all(_issued_by(certificate, issuer) for certificate, issuer in pairs):
        return False
    return any(_issued_by(certificates[-1], root) for root in roots)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public_bytes(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _refused(detail: str) -> MeshError:
    return MeshError(ErrorCode.FAILED_PRECONDITION, detail)
