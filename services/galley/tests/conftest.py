"""A real config API for adapter tests: TLS with a CA of its own, SQLite in a temporary directory, known tokens."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from galley.adapters.config_api import ConfigApi
from galley.adapters.config_api.calls import Backend
from galley.adapters.config_api.namespaces import seed
from galley.adapters.config_api.workload_tokens import TokenIssuer
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from galley.core.sealing import Vault
from galley.core.workload_tokens import SigningKey
from meshcore.http import Role, TokenAuthenticator, listening
from meshcore.http.tokens import token_entry
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls import ServiceIdentity, ssl_client_context, ssl_server_context


@dataclass(frozen=True)
class RunningApi:
    """A served config API and what is needed to talk to it. Tokens are their users' names."""

    url: str
    store: Store
    ca: TestCa
    application: ConfigApi
    issuer: str = "https://galley.test"

    def client(self, user: str | None = "admin", identity: ServiceIdentity | None = None) -> httpx.AsyncClient:
        """A client with the token of a user, or with a client certificate."""
        if identity is not None:
            context = ssl_client_context(identity)
        else:
            context = ssl.create_default_context(cadata=self.ca.root_pem.decode())
        headers = {"Authorization": f"Bearer token-of-{user}"} if user else {}
        return httpx.AsyncClient(base_url=self.url, verify=context, headers=headers, timeout=60)


def signing_key() -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """The tokens file: an admin, an editor of `shop`, a viewer, a status writer, a registrar, and somebody without any
    role."""
    roles: dict[str, dict[str, list[Role]]] = {
        "admin": {"*": [Role.ADMIN]},
        "editor": {"shop": [Role.EDITOR]},
        "viewer": {"*": [Role.VIEWER]},
        "status-writer": {"*": [Role.STATUS_WRITER]},
        "registrar": {"*": [Role.REGISTRAR]},
        "nobody": {},
    }
    path = tmp_path / "tokens.json"
    entries = [token_entry(f"token-of-{user}", user, held) for user, held in roles.items()]
    path.write_text(json.dumps({"tokens": entries}))
    return path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store with the namespaces that are always there."""
    vault = Vault(b"k" * 32)
    async with await Store.open(f"sqlite:///{tmp_path / 'galley.db'}", vault=vault) as opened:
        await seed(opened)
        yield opened


@pytest.fixture
async def api(store: Store, tokens: Path) -> AsyncIterator[RunningApi]:
    """The config API of that store, served over TLS."""
    ca = make_ca()
    application = ConfigApi(
        Backend(store, Naming()),
        TokenAuthenticator(tokens, trust_domain="cluster.local"),
        TokenIssuer(RunningApi.issuer, signing_key()),
    )
    identity = ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley")
    tls = ssl_server_context(identity, client_certificates="optional")
    async with listening(application, "127.0.0.1", 0, tls) as port:
        try:
            yield RunningApi(f"https://127.0.0.1:{port}", store, ca, application)
        finally:
            await application.stop()
