"""What a PEM text holds, without judging the certificates: bundles of public roots have odd ones, which TLS libraries
pass over. Pure."""

import base64
import binascii
import re

_SEQUENCE = 0x30
_LONG_FORM = 0x80
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]*?)\s*-----END CERTIFICATE-----")


def count_certificates(pem: bytes) -> int:
    """How many certificates there are; 0 when one of them is cut off, is no base64 or no DER structure at all."""
    blocks = _BLOCK.findall(pem)
    if len(blocks) != pem.count(b"-----BEGIN CERTIFICATE-----"):
        return 0
    try:
        contents = [base64.b64decode(b"".join(block.split()), validate=True) for block in blocks]
    except binascii.Error:
        return 0
    return len(contents) if all(map(_is_sequence, contents)) else 0


def joined_certificates(*bundles: bytes) -> bytes:
    """The certificates of all bundles as one PEM text, each once, in the order in which they first come."""
    found: dict[bytes, bytes] = {}
    for match in (one for pem in bundles for one in _BLOCK.finditer(pem)):
        found.setdefault(b"".join(match[1].split()), match[0])
    return b"".join(block + b"\n" for block in found.values())


def _is_sequence(der: bytes) -> bool:
    """Whether it is one SEQUENCE of DER to its last byte (X.690, 8.1.3): one that is not, TLS libraries refuse."""
    if len(der) < 2 or der[0] != _SEQUENCE:
        return False
    if der[1] < _LONG_FORM:
        return len(der) == 2 + der[1]
    size = der[1] - _LONG_FORM
    return len(der) == 2 + size + int.from_bytes(der[2 : 2 + size])
