"""The signer: its certificate and key, what lies between it and the roots, and the roots that peers trust. Pure."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import ErrorCode, MeshError

_SHA256, _SHA384 = hashes.SHA256(), hashes.SHA384()
_ECDSA = {digest.name: ec.ECDSA(digest) for digest in (_SHA256, _SHA384)}
SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """What signs leaves; `intermediates` go from the signer (excluded when it is a root) towards the roots."""

    certificate: x509.Certificate
    key: SigningKey = field(repr=False)
    intermediates: tuple[x509.Certificate, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()
    """Its own, the one that the signer leads to first: holders renew when the first root is not theirs."""
    foreign: tuple[x509.Certificate, ...] = ()
    """Roots of other authorities that peers trust as well; nobody proves anything to this one with them."""
    revoked: tuple[x509.CertificateRevocationList, ...] = ()
    """A list for every authority of the chain, or none at all."""
    registered: tuple[x509.Certificate, ...] = ()
    """Roots of signers that it has workloads' certificates signed by: the mesh's own as much as its own roots."""

    @cached_property
    def bundle_pem(self) -> str:
        """The trust bundle: every root of the mesh, one after the other, its own first."""
        return self.bundle_from(None)

    def bundle_from(self, first: x509.Certificate | None) -> str:
        """The same for a holder whose certificates lead to `first`, which then comes first; None: to its own."""
        ordered = (() if first is None else (first,)) + self.roots + self.registered
        return "".join(to_pem(root) for root in dict.fromkeys(ordered))

    @cached_property
    def foreign_pem(self) -> str:
        """Roots that only peers of workloads trust besides."""
        of_mesh = {*self.roots, *self.registered}
        return "".join(to_pem(root) for root in dict.fromkeys(self.foreign) if root not in of_mesh)

    @cached_property
    def bundle_digest(self) -> str:
        """What receipts name the bundle by: its own roots, since these are what a rotation replaces."""
        own = "".join(to_pem(root) for root in dict.fromkeys(self.roots))
        return hashlib.sha256(own.encode()).hexdigest()[:16]

    @cached_property
    def intermediates_pem(self) -> tuple[str, ...]:
        """Each intermediate."""
        return tuple(to_pem(one) for one in self.intermediates)

    @cached_property
    def revoked_pem(self) -> str:
        """Every revocation list, one after the other."""
        return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in self.revoked)

    @cached_property
    def key_id(self) -> str:
        """The signer's key, which a renewed certificate keeps."""
        return key_id_of(self.certificate)


def key_id_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the subject's public key, hex: one name for all certificates of a key."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def to_pem(certificate: x509.Certificate) -> str:
    """PEM with a newline at its end."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def hash_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384:
    """The hash that fits the strength of the key."""
    return _SHA384 if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256 else _SHA256


def ecdsa_with(digest: hashes.SHA256 | hashes.SHA384) -> ec.ECDSA:
    """ECDSA with one of the hashes of `hash_for`, made once."""
    return _ECDSA[digest.name]


def make_root(key: SigningKey, trust_domain: str, ttl: timedelta, now: datetime, serial: int) -> Authority:
    """A self-signed root as Istio makes it: organisation = trust domain, keyCertSign only, valid from now on.

    Checked after signing: FAILED_PRECONDITION when the result may not sign.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, trust_domain)])
    return _self_signed(key, name, ttl, now, serial)


def renewed_root(authority: Authority, ttl: timedelta, now: datetime, serial: int) -> Authority:
    """The same key and name with a new life: leaves of the former certificate verify under this one, and vice versa."""
    return _self_signed(authority.key, authority.certificate.subject, ttl, now, serial)


def next_root(authority: Authority, key: SigningKey, ttl: timedelta, now: datetime, serial: int) -> Authority:
    """What follows a root: the same name with another key."""
    return _self_signed(key, authority.certificate.subject, ttl, now, serial)


def _self_signed(key: SigningKey, name: x509.Name, ttl: timedelta, now: datetime, serial: int) -> Authority:
    begin = now.replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + ttl)
        .add_extension(_certificate_signing(), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hash_for(key))
    )
    authority = Authority(certificate, key, (), (certificate,))
    check_authority(authority)
    return authority


def check_authority(authority: Authority) -> None:
    """FAILED_PRECONDITION unless the key is the certificate's and the certificate may sign others."""
    certificate = authority.certificate
    if certificate.public_key() != authority.key.public_key():
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the authority's key does not belong to its certificate")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the authority's certificate lacks its constraints") from None
    if not constraints.ca or not usage.key_cert_sign:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the authority's certificate may not sign certificates")
    if not authority.intermediates:
        try:
            certificate.verify_directly_issued_by(certificate)
        except (InvalidSignature, ValueError):
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "the root does not verify by its own key") from None


def _certificate_signing() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
