"""What a PEM text holds, without judging the certificates: bundles of public roots have odd ones, which TLS libraries
pass over. Pure."""

import base64
import binascii
import re

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]*?)\s*-----END CERTIFICATE-----")


def count_certificates(pem: bytes) -> int:
    """How many certificates there are; 0 when one of them is cut off or is no base64."""
    blocks = _BLOCK.findall(pem)
    if len(blocks) != pem.count(b"-----BEGIN CERTIFICATE-----"):
        return 0
    try:
        return sum(bool(base64.b64decode(b"".join(block.split()), validate=True)) for block in blocks)
    except binascii.Error:
        return 0
