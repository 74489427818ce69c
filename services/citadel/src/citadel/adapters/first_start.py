"""`citadel init`: every first key, certificate and token, in files that only their reader can read.

Idempotent: what is there and good is kept, what is missing, half-written, expired, past half of its life, or issued for
other names is made again. Each file is replaced in one step, so a kill at any moment leaves a directory that the next
run completes. Two runs at once wait for each other.
"""

import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import MeshError
from meshcore.http.callers import EVERY_NAMESPACE, Role
from meshcore.http.tokens import token_entry
from meshcore.rotation import should_rotate
from meshcore.tls import PrivateKeyPem, ServiceIdentity, finish_saving, load_identity, save_identity
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.authority_source import plugged_in_authority
from citadel.adapters.database import open_database
from citadel.adapters.issuer import Issuer
from citadel.adapters.istio_root import IstioRoot
from citadel.adapters.ledger import Ledger
from citadel.adapters.plugged_in_files import PluggedInFiles
from citadel.adapters.private_files import kept_current, new_token, private_directory, written_once
from citadel.adapters.root_store import RootStore
from citadel.core.authority import Authority
from citadel.core.caller import AuthenticatedCaller, Proof, caller_of_certificate
from citadel.core.members import CLIENTS, NATS, POSTGRES, SERVICES, Installation, InstallProfile
from citadel.core.nats_config import NatsServer, render_nats_config
from citadel.core.profile import SERVER_WITHOUT_RENEWAL, SERVICE, Profile
from citadel.core.sealing import KEY_BYTES, parse_keks

DATABASE_FILE = "citadel.db"
PUBLIC = "public"
_PEER = "citadel init"


@dataclass(frozen=True, slots=True)
class InitOptions:
    """Where to write, for whom, and under which root; paths in `nats` are as the NATS server sees them."""

    directory: Path
    installation: Installation
    root_ttl: timedelta
    root_algorithm: str = "ecdsa"
    database_url: str | None = None
    nats_dir: str | None = None
    nats_store: str | None = None
    state_keys: tuple[str, ...] = ()
    plugged_in: Path | None = None
    """Folder of an authority to use in place of a root of Citadel's own."""
    istio_root: IstioRoot | None = None
    """Where the root of an istiod is looked for before one is made."""

    @property
    def database(self) -> str:
        """SQLAlchemy's address of Citadel's database."""
        return self.database_url or f"sqlite+aiosqlite:///{self.directory.resolve() / 'citadel' / DATABASE_FILE}"


async def initialise(options: InitOptions) -> tuple[str, ...]:
    """Bring the directory to its final state; returns what was written, relative to it, in the order of writing."""
    root = private_directory(options.directory)
    with _alone(root):
        first_start = _FirstStart(options)
        await first_start.run()
        return tuple(first_start.written)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / ".init.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class _FirstStart:
    def __init__(self, options: InitOptions) -> None:
        self.options = options
        self.directory = options.directory
        self.installation = options.installation
        self.written: list[str] = []

    async def run(self) -> None:
        for name in (*SERVICES, *CLIENTS, NATS, "state-keys"):
            private_directory(self.directory / name)
        keks = parse_keks(self._once("citadel/kek", base64.b64encode(secrets.token_bytes(KEY_BYTES))).decode())
        self._once("galley/kek", base64.b64encode(secrets.token_bytes(KEY_BYTES)))
        engine = await open_database(self.options.database)
        try:
            authority = await self._authority(engine, keks)
            issuer = Issuer(AuthorityInForce(authority), Ledger(engine).write)
            self._current("root-cert.pem", authority.bundle_pem.encode(), mode=0o644)
            for name in (*SERVICES, *CLIENTS):
                await self._identity(issuer, authority, name, SERVICE)
            await self._nats(issuer, authority)
            if self.installation.profile is InstallProfile.COMPOSE:
                await self._postgres(issuer, authority)
                self._public_root(authority.bundle_pem.encode())
        finally:
            await engine.dispose()
        self._tokens()
        for name in self.options.state_keys:
            self._once(f"state-keys/{name}.key", secrets.token_bytes(KEY_BYTES), mode=0o400)

    async def _authority(self, engine: AsyncEngine, keks: tuple[bytes, ...]) -> Authority:
        folder = self.options.plugged_in
        files = None if folder is None else PluggedInFiles(folder, roots_may_change=True)
        plugged_in = await plugged_in_authority(engine, files)
        if plugged_in is not None:
            return plugged_in
        store = RootStore(engine, lambda: keks)
        options = self.options
        former = None if options.istio_root is None else options.istio_root.read
        roots = await store.ensure(self.installation.trust_domain, options.root_ttl, options.root_algorithm, former)
        return roots.authority

    async def _identity(self, issuer: Issuer, authority: Authority, name: str, profile: Profile) -> None:
        directory, caller = self.directory / name, self.installation.caller(name)
        finish_saving(directory)
        if is_current(directory, authority, caller):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        issued = await issuer.issue(caller, key.public_key(), profile, profile.default_ttl, _PEER)
        save_identity(
            directory,
            ServiceIdentity(PrivateKeyPem(_pem(key)), "".join(issued.chain).encode(), issued.bundle.encode()),
        )
        self.written.append(f"{name}/cert-chain.pem")

    async def _nats(self, issuer: Issuer, authority: Authority) -> None:
        passwords = {}
        for service in SERVICES:
            account = {"user": service, "password": new_token().decode()}
            passwords[service] = str(json.loads(self._once(f"{service}/nats-user.json", _json(account)))["password"])
        compose = self.installation.profile is InstallProfile.COMPOSE
        seen = self.options.nats_dir or str((self.directory / NATS).resolve())
        if compose:
            await self._identity(issuer, authority, NATS, SERVER_WITHOUT_RENEWAL)
        server = NatsServer(
            host="0.0.0.0" if compose else self.installation.address(NATS),
            monitor_host="127.0.0.1" if compose else self.installation.address(NATS),
            store_dir=self.options.nats_store or ("/data" if compose else f"{seen}/jetstream"),
            certificate=f"{seen}/cert-chain.pem" if compose else None,
            key=f"{seen}/key.pem" if compose else None,
            root=f"{seen}/root-cert.pem" if compose else None,
        )
        self._current(f"{NATS}/nats.conf", render_nats_config(server, passwords).encode())

    async def _postgres(self, issuer: Issuer, authority: Authority) -> None:
        """Galley's store: the server's certificate, and one password as the server and as its client read it."""
        private_directory(self.directory / POSTGRES)
        await self._identity(issuer, authority, POSTGRES, SERVER_WITHOUT_RENEWAL)
        password = self._once(f"{POSTGRES}/password", new_token()).decode()
        self._current("galley/pgpass", f"{POSTGRES}:5432:galley:galley:{password}\n".encode())

    def _public_root(self, bundle: bytes) -> None:
        """The trust bundle in a directory that anybody may read: a volume of its own, which Citadel keeps current."""
        public = self.directory / PUBLIC
        public.mkdir(exist_ok=True)
        public.chmod(0o755)
        self._current(f"{PUBLIC}/root-cert.pem", bundle, mode=0o644)

    def _tokens(self) -> None:
        self._once("galley/token-signing-key.pem", _pem(ec.generate_private_key(ec.SECP256R1())))
        admin = self._once("admin-token", new_token()).decode()
        status = self._once("pilot/status-token", new_token()).decode()
        reader = self._once("citadel/galley-token", new_token()).decode()
        asker = self._once("galley/pilot-token", new_token()).decode()
        everywhere = [token_entry(admin, "admin", {EVERY_NAMESPACE: [Role.ADMIN]})]
        of_galley = [
            *everywhere,
            token_entry(status, "pilot", {EVERY_NAMESPACE: [Role.STATUS_WRITER, Role.REGISTRAR]}),
            token_entry(reader, "citadel", {}),
        ]
        of_pilot = [*everywhere, token_entry(asker, "galley", {EVERY_NAMESPACE: [Role.VIEWER]})]
        for service in SERVICES:
            entries = {"galley": of_galley, "pilot": of_pilot}.get(service, everywhere)
            self._current(f"{service}/tokens.json", _json({"tokens": entries}))

    def _once(self, name: str, content: bytes, mode: int = 0o600) -> bytes:
        if not (self.directory / name).exists():
            self.written.append(name)
        return written_once(self.directory / name, content, mode)

    def _current(self, name: str, content: bytes, mode: int = 0o600) -> None:
        if kept_current(self.directory / name, content, mode):
            self.written.append(name)


def is_current(directory: Path, authority: Authority, caller: AuthenticatedCaller) -> bool:
    """Whether the identity in a directory is whole, of this authority, for exactly these names, and young enough."""
    try:
        identity = load_identity(directory)
        key = serialization.load_pem_private_key(identity.key.pem, password=None)
        certificate = identity.certificate
        certificate.verify_directly_issued_by(authority.certificate)
    except (MeshError, ValueError, TypeError, InvalidSignature):
        return False
    found = caller_of_certificate(certificate, caller.identity.trust_domain, caller.identity.namespace)
    return (
        key.public_key() == certificate.public_key()
        and identity.root.decode() == authority.bundle_pem
        and found == AuthenticatedCaller(caller.identity, Proof.CERTIFICATE, caller.names)
        and not should_rotate(datetime.now(UTC), identity.not_before, identity.not_after)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
