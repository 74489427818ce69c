"""A Citadel in this process over real TLS, with an issuer of workload tokens beside it."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.composition import compose
from citadel.adapters.database import open_database
from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.root_store import RootStore
from citadel.core.members import Installation
from citadel.core.sealing import parse_keks
from citadel.settings import CitadelSettings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from meshcore.http import listening
from meshcore.runtime import running
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess
from meshcore.testing.galley import running as serving
from meshcore.testing.identity import TestCa
from meshcore.testing.postgres import postgres_server
from meshcore.tls import (
    PrivateKeyPem,
    ServiceIdentity,
    grpc_channel_credentials,
    grpc_root_credentials,
    load_identity,
    ssl_server_context,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


def stock_messages() -> tuple[type, type]:
    """The two messages, declared here from the facts of the wire format and from nothing of the project."""
    file = descriptor_pb2.FileDescriptorProto(name="stock/ca.proto", package="istio.v1.auth", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    kinds = descriptor_pb2.FieldDescriptorProto
    request = file.message_type.add(name="IstioCertificateRequest")
    request.field.add(name="csr", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    request.field.add(name="validity_duration", number=3, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    request.field.add(
        name="metadata",
        number=4,
        type=kinds.TYPE_MESSAGE,
        type_name=".google.protobuf.Struct",
        label=kinds.LABEL_OPTIONAL,
    )
    response = file.message_type.add(name="IstioCertificateResponse")
    response.field.add(name="cert_chain", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    struct = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    pool.Add(struct)
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"istio.v1.auth.{name}") for name in (request.name, response.name)]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


REQUEST, RESPONSE = stock_messages()


def signing_request(key: Any, *names: x509.GeneralName) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Issuer:
    """An OIDC issuer of workload tokens over HTTPS, as Galley is one."""

    url: str = ""
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    jwks_url: str | None = None

    def rotate(self, kid: str) -> None:
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}

    def token(self, namespace: str = "shop", account: str = "front", **changes: Any) -> str:
        now = datetime.now(UTC)
        kid, key = next(iter(self.keys.items()))
        claims = {
            "iss": self.url,
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "aud": ["istio-ca"],
            "iat": now,
            "exp": now + timedelta(hours=1),
        }
        return jwt.encode(claims | changes, key, "ES256", headers={"kid": kid})

    async def discovery(self, request: Request) -> Response:
        self._note(request)
        return JSONResponse({"issuer": self.url, "jwks_uri": self.jwks_url or f"{self.url}/openid/v1/jwks"})

    async def jwks(self, request: Request) -> Response:
        self._note(request)
        keys = []
        for kid, key in self.keys.items():
            fields = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
            keys.append(fields | {"kid": kid, "alg": "ES256", "use": "sig"})
        return JSONResponse({"keys": keys})

    def _note(self, request: Request) -> None:
        self.asked.append(request.url.path)
        self.authorizations.add(request.headers.get("authorization"))

    @contextlib.asynccontextmanager
    async def listening(self, directory: Path, port: int = 0) -> AsyncIterator[None]:
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/openid/v1/jwks", self.jwks),
            ]
        )
        context = ssl_server_context(load_identity(directory / "galley"), client_certificates="optional")
        async with listening(app, "127.0.0.1", port, context) as bound:
            self.url = f"https://127.0.0.1:{bound}"
            yield


@dataclass
class Citadel:
    """A running Citadel and the ways to it."""

    directory: Path
    port: int
    runtime: Any
    issuer: Issuer
    admin: str

    def channel(self, service: str | None = None, identity: ServiceIdentity | None = None) -> grpc.aio.Channel:
        """With the certificate of a service (or `identity`), or with nothing but the root."""
        if service is not None:
            identity = load_identity(self.directory / service)
        root = (self.directory / "root-cert.pem").read_bytes()
        credentials = grpc_root_credentials(root) if identity is None else grpc_channel_credentials(identity)
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials)

    async def create(
        self,
        csr: str,
        *,
        token: str | None = None,
        ttl: int = 0,
        service: str | None = None,
        identity: ServiceIdentity | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Call as a stock agent does: the messages of `stock_messages`, one call per connection."""
        request = REQUEST(csr=csr, validity_duration=ttl)
        request.metadata.update({"CertSigner": "", **(metadata or {})})
        headers = [("clusterid", "Kubernetes")]
        if token is not None:
            headers.append(("authorization", f"Bearer {token}"))
        async with self.channel(service, identity) as channel:
            call = channel.unary_unary(
                METHOD, request_serializer=REQUEST.SerializeToString, response_deserializer=RESPONSE.FromString
            )
            return list((await call(request, metadata=headers, timeout=60)).cert_chain)

    async def call(self, csr: str, *metadata: tuple[str, str]) -> list[str] | tuple[str, str]:
        """A call with exactly this metadata: the chain, or code and message of the refusal."""
        async with self.channel() as channel:
            call = channel.unary_unary(
                METHOD, request_serializer=REQUEST.SerializeToString, response_deserializer=RESPONSE.FromString
            )
            try:
                return list((await call(REQUEST(csr=csr), metadata=metadata, timeout=60)).cert_chain)
            except grpc.aio.AioRpcError as error:
                return error.code().name, error.details() or ""

    async def signed(self, names: Sequence[str], begin: datetime, end: datetime) -> ServiceIdentity:
        """A certificate with any names and times that this Citadel's own root has signed."""
        directory = self.directory / "citadel"
        engine = await open_database(f"sqlite+aiosqlite:///{directory / 'citadel.db'}")
        roots = await RootStore(engine, lambda: parse_keks((directory / "kek").read_text())).load()
        await engine.dispose()
        assert roots is not None
        authority = TestCa(roots.root.key, roots.root.certificate)
        issued = authority.issue(names[0] if names else None, dns=[], ips=[], not_before=begin, ttl=end - begin)
        if len(names) == 1:
            return issued
        key = ec.generate_private_key(ec.SECP256R1())
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )
        if uris:
            builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=True)
        leaf = builder.sign(roots.root.key, hashes.SHA256())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return ServiceIdentity(PrivateKeyPem(pem), leaf.public_bytes(serialization.Encoding.PEM), issued.root)

    async def refusal(self, csr: str, **how: Any) -> tuple[str, str]:
        """Code and message of a call that must fail."""
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.create(csr, **how)
        return error.value.code().name, error.value.details() or ""

    async def identity_of(self, namespace: str, account: str, ttl: int = 0) -> ServiceIdentity:
        """What an agent gets for its token, as an identity to call with."""
        key = ec.generate_private_key(ec.SECP256R1())
        chain = await self.create(signing_request(key), token=self.issuer.token(namespace, account), ttl=ttl)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return ServiceIdentity(PrivateKeyPem(pem), "".join(chain[:-1]).encode(), chain[-1].encode())

    async def get(self, path: str) -> httpx.Response:
        token = (self.directory / "admin-token").read_text()
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            return await client.get(self.admin + path)

    async def post(self, path: str, body: Any) -> Any:
        token = (self.directory / "admin-token").read_text()
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            return (await client.post(self.admin + path, json=body)).raise_for_status().json()


@contextlib.asynccontextmanager
async def citadel_running(directory: Path, issuer: Issuer, **changes: Any) -> AsyncIterator[Citadel]:
    """A Citadel over an initialised directory."""
    settings = CitadelSettings(
        **{
            "identity_dir": directory / "citadel",
            "state_dir": directory / "state",
            "port": 0,
            "admin_port": 0,
            "token_issuer": issuer.url or None,
        }
        | changes
    )
    (directory / "state").mkdir(exist_ok=True)
    async with running(settings, compose) as runtime:
        admin = f"http://127.0.0.1:{runtime.ports['admin']}"
        yield Citadel(directory, runtime.ports["certificates"], runtime, issuer, admin)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
async def engines(url: str) -> AsyncIterator[list[Any]]:
    """Two replicas over one database."""
    opened = await asyncio.gather(open_database(url), open_database(url))
    yield opened
    for engine in opened:
        await engine.dispose()


@pytest.fixture
async def identity_directory(tmp_path: Path) -> Path:
    await initialise(InitOptions(tmp_path / "identity", Installation("cluster.local"), timedelta(days=3650)))
    return tmp_path / "identity"


@pytest.fixture
async def issuer(identity_directory: Path) -> AsyncIterator[Issuer]:
    issuer = Issuer()
    issuer.rotate("first")
    async with issuer.listening(identity_directory):
        yield issuer


@pytest.fixture
async def citadel(identity_directory: Path, issuer: Issuer) -> AsyncIterator[Citadel]:
    async with citadel_running(identity_directory, issuer) as citadel, asyncio.timeout(60):
        await citadel.runtime.readiness.wait()
        yield citadel


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AuthorityInForce]:
    """The authority of the Citadel of the test, to change it from outside; ask for it before `citadel`."""
    made: list[AuthorityInForce] = []
    init = AuthorityInForce.__init__

    def noted(self: AuthorityInForce, *arguments: Any) -> None:
        init(self, *arguments)
        made.append(self)

    monkeypatch.setattr(AuthorityInForce, "__init__", noted)
    return lambda: made[-1]


@pytest.fixture
def start_citadel() -> Callable[..., contextlib.AbstractAsyncContextManager[Citadel]]:
    """For tests that need other settings, or more than one life of the service."""
    return citadel_running


@pytest.fixture
def galley(tmp_path: Path) -> Iterator[GalleyProcess]:
    """A real config API, which speaks Kubernetes and keeps Secrets."""
    kek = {"GALLEY_KEK": base64.b64encode(bytes(32)).decode()}
    with claim() as block, serving(GalleyProcess(tmp_path / "galley", block.address(), settings=kek)) as process:
        yield process


@pytest.fixture(name="stock_messages")
def messages_of_the_protocol() -> tuple[type, type]:
    """Request and answer of Istio's CA protocol, declared from its facts."""
    return REQUEST, RESPONSE


@pytest.fixture
def sign() -> Callable[..., str]:
    """Makes a signing request: `sign(key, *names)`."""
    return signing_request
