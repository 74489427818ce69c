"""Whether Envoy takes a certificate chain and its key, as a Secret or files have them: told in words, never with a byte
of the content. Pure."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import ocsp

from meshcore.pem import count_certificates

_LEAST_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def pair_fault(chain: bytes, key: bytes) -> str:
    """Why Envoy would refuse the pair; empty when it would not. Dates are not looked at: Envoy presents what it has."""
    if not count_certificates(chain):
        return "the certificate is no PEM certificate"
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        return "the certificate is no PEM certificate"
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "the key in the certificate cannot be read"
    if not _is_taken(public):
        return f"Envoy takes RSA keys from {_LEAST_RSA_BITS} bits, P-256, P-384, P-521 and Ed25519 only"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the key is no PEM key without a password"
    return "" if private.public_key() == public else "the key is not the key of the certificate"


def staple_fault(chain: bytes, staple: bytes) -> str:
    """Why Envoy would refuse an OCSP response (DER, RFC 6960) beside that chain; empty when it would not.

    An old one is taken and not shown (Envoy, `LENIENT_STAPLING`), so its dates are not looked at.
    """
    try:
        answer = ocsp.load_der_ocsp_response(staple)
        serials = {one.serial_number for one in answer.responses}
    except (ValueError, UnsupportedAlgorithm):
        return "the OCSP response cannot be read, or tells of nothing"
    serial = x509.load_pem_x509_certificates(chain)[0].serial_number
    return "" if serials == {serial} else "the OCSP response is not of the certificate alone"


def _is_taken(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _LEAST_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, ed25519.Ed25519PublicKey)
