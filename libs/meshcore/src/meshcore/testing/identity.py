"""Certificates for tests in a line: a throw-away authority and what it issues. P-256, an hour of life by default.

ca = make_ca()
pilot = ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot", dns=["pilot"], ips=["127.1.255.2"])
write_identity(directory, pilot)
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshcore.tls.identity import ServiceIdentity, save_identity
from meshcore.tls.private_key import PrivateKeyPem

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class TestCa:
    """An authority that issues whatever a test asks for."""

    __test__ = False

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def root_pem(self) -> bytes:
        """The trust bundle."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        spiffe: str | None,
        *,
        dns: Sequence[str] = ("localhost",),
        ips: Sequence[str] = ("127.0.0.1",),
        ttl: timedelta = _HOUR,
        not_before: datetime | None = None,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> ServiceIdentity:
        """A key pair with a leaf that names all of it; `not_before` may lie in the past for an expired one."""
        begin = not_before or datetime.now(UTC) - timedelta(minutes=2)
        key = key or ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [] if spiffe is None else [x509.UniformResourceIdentifier(spiffe)]
        names += [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(minutes=2) + ttl)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return ServiceIdentity(PrivateKeyPem(pem), leaf.public_bytes(serialization.Encoding.PEM), self.root_pem)


def make_ca(organization: str = "cluster.local", *, ttl: timedelta = timedelta(days=1)) -> TestCa:
    """A fresh self-signed root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + ttl)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return TestCa(key, certificate)


def write_identity(directory: Path, identity: ServiceIdentity) -> Path:
    """Write it as `citadel init` would; returns the directory."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_identity(directory, identity)
    return directory
