"""Hierarchies of authorities for tests: roots, intermediates and their revocation lists, right or wrong as a test asks.

root = make_authority("root"); lower = make_authority("lower", root); crl_pem(lower, revoked=[7])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp

from meshcore.testing.identity import TestCa
from meshcore.tls.identity import ServiceIdentity

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """One certificate that signs, and the one above it; a root has none."""

    name: str
    key: Key
    certificate: x509.Certificate
    issuer: "Authority | None" = None

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make_authority(
    name: str,
    issuer: Authority | None = None,
    *,
    key: Key | None = None,
    ca: bool = True,
    not_before: datetime | None = None,
    ttl: timedelta = _YEAR,
) -> Authority:
    """An authority below `issuer`, or a root; with `ca` False a leaf that means to be one."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    begin = not_before or datetime.now(UTC) - timedelta(hours=1)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above = own if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + ttl)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
    )
    return Authority(name, own, builder.sign(above, hashes.SHA256()), issuer)


def issue_below(between: Authority, root: TestCa | Authority, spiffe: str | None) -> ServiceIdentity:
    """A leaf of an authority below that root, with that authority in its chain."""
    made = TestCa(between.key, between.certificate).issue(spiffe)  # type: ignore[arg-type]
    return ServiceIdentity(made.key, made.chain + between.pem, root.root_pem if isinstance(root, TestCa) else root.pem)


def crl_pem(
    authority: Authority,
    revoked: Sequence[int] = (),
    *,
    until: datetime | None = None,
    signed_by: Authority | None = None,
) -> bytes:
    """The authority's revocation list of those serial numbers; `signed_by` makes it a forgery."""
    end = until or datetime.now(UTC) + _YEAR
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(min(datetime.now(UTC), end) - timedelta(days=1))
        .next_update(end)
    )
    for serial in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(datetime.now(UTC)).build()
        builder = builder.add_revoked_certificate(one)
    signed = builder.sign((signed_by or authority).key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def ocsp_der(certificate: x509.Certificate, issuer: Authority | TestCa) -> bytes:
    """The issuer's word, for a day, that the certificate is good."""
    now = datetime.now(UTC)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=now,
        next_update=now + timedelta(days=1),
        revocation_time=None,
        revocation_reason=None,
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate).sign(issuer.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
