"""A real config API for adapter tests: TLS with a CA of its own, SQLite in a temporary directory, known tokens."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from galley.adapters.config_api import ConfigApi
from galley.adapters.config_api.calls import Backend
from galley.adapters.config_api.namespaces import seed
from galley.adapters.config_api.workload_tokens import TokenIssuer
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from galley.core.workload_tokens import SigningKey
from meshcore.http import Role, TokenAuthenticator, listening
from meshcore.http.tokens import token_entry
from meshcore.tls import ServiceIdentity, load_identity, ssl_client_context, ssl_server_context

ADMIN, EDITOR, VIEWER, STATUS_WRITER = "admin-token", "editor-token", "viewer-token", "status-token"
ISSUER = "https://galley.test"


class TestAuthority:
    """Issues certificates for one test run."""

    __test__ = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        self.certificate = self._sign(self._name, self._key.public_key(), None, ca=True)

    @property
    def root_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def identity(self, service_account: str) -> ServiceIdentity:
        directory = self._directory / service_account
        directory.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/istio-system/sa/{service_account}"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service_account)])
        leaf = self._sign(subject, key.public_key(), names, ca=False)
        (directory / "cert-chain.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (directory / "key.pem").write_bytes(private_pem(key))
        (directory / "root-cert.pem").write_bytes(self.root_pem)
        return load_identity(directory)

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, names: list[x509.GeneralName] | None, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class RunningApi:
    """A served config API and what is needed to talk to it."""

    url: str
    store: Store
    root_pem: bytes
    authority: TestAuthority
    tokens: Path

    def client(self, token: str | None = ADMIN, identity: ServiceIdentity | None = None) -> httpx.AsyncClient:
        import ssl

        if identity is not None:
            context = ssl_client_context(identity)
        else:
            context = ssl.create_default_context(cadata=self.root_pem.decode())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, verify=context, headers=headers, timeout=10)


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    directory = tmp_path / "identities"
    directory.mkdir()
    return TestAuthority(directory)


@pytest.fixture
async def api(tmp_path: Path, authority: TestAuthority) -> AsyncIterator[RunningApi]:
    tokens = tmp_path / "tokens.json"
    entries = [
        token_entry(ADMIN, "admin", {"*": [Role.ADMIN]}),
        token_entry(EDITOR, "editor", {"shop": [Role.EDITOR]}),
        token_entry(VIEWER, "viewer", {"*": [Role.VIEWER]}),
        token_entry(STATUS_WRITER, "pilot", {"*": [Role.STATUS_WRITER]}),
    ]
    tokens.write_text(json.dumps({"tokens": entries}))
    signing_key = SigningKey(private_pem(ec.generate_private_key(ec.SECP256R1())))
    async with await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'galley.db'}") as store:
        await seed(store)
        application = ConfigApi(
            Backend(store, Naming()),
            TokenAuthenticator(tokens, trust_domain="cluster.local"),
            TokenIssuer(ISSUER, signing_key),
        )
        tls = ssl_server_context(authority.identity("galley"), client_certificates="optional")
        async with listening(application, "127.0.0.1", 0, tls) as port:
            try:
                yield RunningApi(f"https://127.0.0.1:{port}", store, authority.root_pem, authority, tokens)
            finally:
                await application.stop()
