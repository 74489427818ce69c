"""What of a certificate signing request is used: its public key, once the request proves possession of the key. Pure.

Names, subject and extensions of the request are not even looked at.
"""

from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from citadel.core.refusal import Reason, SigningRefused

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

LARGEST_REQUEST = 64 * 1024
SMALLEST_RSA = 2048
LARGEST_RSA = 8192
"""Bits; the upper bound keeps one request from costing seconds of verification."""
_CURVES = (ec.SECP256R1, ec.SECP384R1)


def parse_signing_request(pem: str) -> PublicKey:
    """The public key of a PEM request; CSR_ERROR when it is unreadable, not self-signed by that key, or weak."""
    if len(pem) > LARGEST_REQUEST:
        raise SigningRefused(Reason.CSR_ERROR, "certificate signing request is too large")
    if pem.count("-----BEGIN ") > 1:
        raise SigningRefused(Reason.CSR_ERROR, "more than one PEM block where one signing request is expected")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = strong_key(request.public_key())
        proven = _is_signed(request, key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningRefused(Reason.CSR_ERROR, "certificate signing request is not properly encoded") from None
    if not proven:
        raise SigningRefused(Reason.CSR_ERROR, "certificate signing request is not signed by its own key")
    return key


def _is_signed(request: x509.CertificateSigningRequest, key: PublicKey) -> bool:
    digest = request.signature_hash_algorithm
    if not isinstance(key, ec.EllipticCurvePublicKey) or digest is None:
        return request.is_signature_valid
    # The same as `is_signature_valid`, without reading the key a second time.
    try:
        key.verify(request.signature, request.tbs_certrequest_bytes, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def strong_key(key: object) -> PublicKey:
    """The key itself when it is RSA of 2048 bits or more, P-256, P-384 or Ed25519; CSR_ERROR otherwise."""
    if isinstance(key, rsa.RSAPublicKey):
        if not SMALLEST_RSA <= key.key_size <= LARGEST_RSA or key.public_numbers().e < 65537:
            raise SigningRefused(Reason.CSR_ERROR, f"RSA keys need {SMALLEST_RSA} to {LARGEST_RSA} bits")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise SigningRefused(Reason.CSR_ERROR, "the key is none of RSA, P-256, P-384 and Ed25519")
