"""Words of TLS settings that Envoy's TLS library knows, and the forms of digests that Envoy takes. Pure."""

import re

CIPHER_SUITES = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)
"""What BoringSSL, Envoy's TLS library, can be told to use with certificates."""

ECDH_CURVES = frozenset(("P-224", "P-256", "P-384", "P-521", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"))
"""Curves that may be named, Istio's list."""
USED_CURVES = ECDH_CURVES - {"P-224", "X25519Kyber768Draft00"}
"""Those of them that Envoy takes; the others make it refuse the certificate with them."""

_SPKI = re.compile(r"[A-Za-z0-9+/]{43}=")
_HASH = re.compile(r"(?:[0-9A-Fa-f]{64})|(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})")


def is_spki(text: str) -> bool:
    """Base64 of the SHA-256 digest of a public key."""
    return _SPKI.fullmatch(text) is not None


def is_certificate_hash(text: str) -> bool:
    """Hex of the SHA-256 digest of a certificate, with or without colons."""
    return _HASH.fullmatch(text) is not None
