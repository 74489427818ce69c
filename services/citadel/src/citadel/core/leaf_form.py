"""The form of a signer's leaves: what they have in common is taken once from one that `cryptography` has built. Pure.

Building a certificate object by object costs several times what signing it does. So a sample is built once for a
signer, its DER is taken apart (RFC 5280 §4.1), and for each leaf only what differs is put in: serial number, validity,
public key and names. tests/core/test_leaf_form.py holds the two ways against each other, byte by byte.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from citadel.core.authority import SigningKey, ecdsa_with, hash_for
from citadel.core.signing_request import PublicKey

_INTEGER, _BIT_STRING, _OCTET_STRING, _SEQUENCE, _EXTENSIONS = 0x02, 0x03, 0x04, 0x30, 0xA3
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_FIRST_GENERALIZED = 2050
_URI, _DNS, _IP = 0x86, 0x82, 0x87
_NAMES_HEAD = bytes.fromhex("0603551d110101ff")
"""subjectAltName (2.5.29.17), critical."""


def element(tag: int, content: bytes) -> bytes:
    """One element of DER (X.690 §8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    return bytes((tag, 0x82)) + size.to_bytes(2) + content


def elements(content: bytes) -> list[bytes]:
    """The elements that stand one after the other; ValueError when the last one is cut off."""
    found, offset = [], 0
    while offset < len(content):
        begin, size = _content_of(content, offset)
        if begin + size > len(content):
            raise ValueError("an element is cut off")
        found.append(content[offset : begin + size])
        offset = begin + size
    return found


def _content_of(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Where an element's content begins, and its size."""
    size, begin = data[offset + 1], offset + 2
    if size >= 0x80:
        begin += size - 0x80
        size = int.from_bytes(data[offset + 2 : begin])
    return begin, size


def inside(one: bytes) -> bytes:
    """The content of an element."""
    begin, size = _content_of(one)
    return one[begin : begin + size]


@dataclass(frozen=True, slots=True)
class LeafForm:
    """The parts of a to-be-signed certificate that all leaves of a signer share, in DER."""

    version: bytes
    algorithm: bytes
    issuer: bytes
    subject: bytes
    extensions: bytes
    """All but the names."""

    @classmethod
    def of(cls, sample: x509.Certificate) -> "LeafForm":
        """From a leaf of the signer whose last extension is its names; ValueError when it is another."""
        version, _, algorithm, issuer, _, subject, _, extensions = elements(inside(sample.tbs_certificate_bytes))
        listed = elements(inside(inside(extensions)))
        if not inside(listed[-1]).startswith(_NAMES_HEAD):
            raise ValueError("the last extension of the sample is not its names")
        return cls(version, algorithm, issuer, subject, b"".join(listed[:-1]))

    def to_be_signed(
        self,
        serial: int,
        not_before: datetime,
        not_after: datetime,
        public_key: PublicKey,
        names: Sequence[x509.GeneralName],
    ) -> bytes:
        """The TBSCertificate of one leaf."""
        number = serial.to_bytes(serial.bit_length() // 8 + 1)
        spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        alternative = element(_OCTET_STRING, element(_SEQUENCE, b"".join(map(_name, names))))
        extensions = self.extensions + element(_SEQUENCE, _NAMES_HEAD + alternative)
        content = (
            self.version
            + element(_INTEGER, number)
            + self.algorithm
            + self.issuer
            + element(_SEQUENCE, _time(not_before) + _time(not_after))
            + self.subject
            + spki
            + element(_EXTENSIONS, element(_SEQUENCE, extensions))
        )
        return element(_SEQUENCE, content)

    def signed(self, to_be_signed: bytes, key: SigningKey) -> bytes:
        """The whole certificate."""
        if isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(to_be_signed, ecdsa_with(hash_for(key)))
        else:
            signature = key.sign(to_be_signed, padding.PKCS1v15(), hash_for(key))
        return element(_SEQUENCE, to_be_signed + self.algorithm + element(_BIT_STRING, b"\0" + signature))


def _time(moment: datetime) -> bytes:
    """RFC 5280 §4.1.2.5: two digits of the year until 2049, four after."""
    year, month, day, hour, minute, second = moment.astimezone(UTC).timetuple()[:6]
    digits = f"{month:02d}{day:02d}{hour:02d}{minute:02d}{second:02d}Z"
    if year < _FIRST_GENERALIZED:
        return element(_UTC_TIME, f"{year % 100:02d}{digits}".encode())
    return element(_GENERALIZED_TIME, f"{year:04d}{digits}".encode())


def _name(name: x509.GeneralName) -> bytes:
    if isinstance(name, x509.UniformResourceIdentifier):
        return element(_URI, name.value.encode("ascii"))
    if isinstance(name, x509.DNSName):
        return element(_DNS, name.value.encode("ascii"))
    if isinstance(name, x509.IPAddress) and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return element(_IP, name.value.packed)
    raise ValueError(f"leaves have no names of the kind {type(name).__name__}")
