"""Who a service is: key, certificate chain and trust bundle, from the directory that `citadel init` wrote.

`LiveIdentity` is the same, renewable: servers built on it present the new certificate at the next handshake.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.tls.peers import spiffe_of_certificate
from meshcore.tls.private_key import PrivateKeyPem
from meshcore.tls.revocation import revocation_lists, revokes

CHAIN_FILE = "cert-chain.pem"
KEY_FILE = "key.pem"
ROOT_FILE = "root-cert.pem"
CRL_FILE = "ca-crl.pem"
_PENDING = ".renewal.json"


@dataclass(frozen=True)
class ServiceIdentity:
    """One key pair with its chain (leaf first), and what decides whom its holder believes, all PEM.

    `root` are this mesh's own roots, never those of others (`caCertificates`): with their keys anybody could be Pilot.
    """

    key: PrivateKeyPem
    chain: bytes
    root: bytes
    revoked: bytes = b""
    """Revocation lists of the authorities below these roots; none for no revocation."""

    @cached_property
    def _lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        return revocation_lists(self.revoked)

    def revokes(self, chain: Iterable[x509.Certificate]) -> bool:
        """Whether a peer that shows this chain is to be refused though its signatures are good."""
        return revokes(self._lists, chain)

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def spiffe(self) -> SpiffeId | None:
        """The identity in the leaf, when it has exactly one."""
        return spiffe_of_certificate(self.certificate)

    @property
    def not_before(self) -> datetime:
        """Start of the leaf's validity, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of the leaf's validity, UTC."""
        return self.certificate.not_valid_after_utc


def load_identity(directory: Path) -> ServiceIdentity:
    """Read `cert-chain.pem`, `key.pem` and `root-cert.pem`; FAILED_PRECONDITION names the file that is missing."""
    try:
        with _locked(directory, fcntl.LOCK_SH):
            pending = directory / _PENDING
            if pending.exists():
                return _from_json(pending.read_text())
            return ServiceIdentity(
                key=PrivateKeyPem((directory / KEY_FILE).read_bytes()),
                chain=(directory / CHAIN_FILE).read_bytes(),
                root=(directory / ROOT_FILE).read_bytes(),
                revoked=_read_if_there(directory / CRL_FILE),
            )
    except OSError as error:
        raise MeshError(
            ErrorCode.FAILED_PRECONDITION, f"the identity file {error.filename} cannot be read: {error.strerror}"
        ) from None


def _read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step, durable, never readable by others in between."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    # A buffered file: a bare write may take only a part of it when the disk is full, and say nothing.
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def save_identity(directory: Path, identity: ServiceIdentity) -> None:
    """Write a renewed identity as one: killed at any moment, `load_identity` gives the old or the new, never a mixture.

    Processes that share the directory wait for each other.
    """
    with _locked(directory, fcntl.LOCK_EX):
        write_private(directory / _PENDING, _to_json(identity))
        write_private(directory / KEY_FILE, identity.key.pem)
        write_private(directory / CHAIN_FILE, identity.chain)
        write_private(directory / ROOT_FILE, identity.root)
        if identity.revoked:
            write_private(directory / CRL_FILE, identity.revoked)
        else:
            (directory / CRL_FILE).unlink(missing_ok=True)
        (directory / _PENDING).unlink()


def finish_saving(directory: Path) -> None:
    """Complete a `save_identity` that was killed half-way, for readers that know only the files."""
    if (directory / _PENDING).exists():
        save_identity(directory, load_identity(directory))


def _to_json(identity: ServiceIdentity) -> bytes:
    parts = {"key": identity.key.pem, "chain": identity.chain, "root": identity.root, "revoked": identity.revoked}
    return json.dumps({name: pem.decode("ascii") for name, pem in parts.items()}).encode()


def _from_json(text: str) -> ServiceIdentity:
    parts = {name: str(pem).encode() for name, pem in json.loads(text).items()}
    return ServiceIdentity(PrivateKeyPem(parts["key"]), parts["chain"], parts["root"], parts.get("revoked", b""))


@contextlib.contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


class LiveIdentity:
    """The identity in force now, and those who want to know when it is replaced."""

    def __init__(self, identity: ServiceIdentity, directory: Path | None = None) -> None:
        self._current = identity
        self._directory = directory
        self._listeners: dict[object, Callable[[ServiceIdentity], None]] = {}

    @classmethod
    def load(cls, directory: Path) -> "LiveIdentity":
        """The identity of a directory; later replacements are written back to it."""
        return cls(load_identity(directory), directory)

    @property
    def current(self) -> ServiceIdentity:
        """What to present now."""
        return self._current

    def on_change(self, listener: Callable[[ServiceIdentity], None]) -> None:
        """Call `listener` after every replacement."""
        self._listeners[object()] = listener

    @contextlib.contextmanager
    def listening(self, listener: Callable[[ServiceIdentity], None]) -> Iterator[None]:
        """The same, for as long as the block lasts."""
        place = object()
        self._listeners[place] = listener
        try:
            yield
        finally:
            del self._listeners[place]

    def replace(self, identity: ServiceIdentity) -> None:
        """Take a renewed identity into use: on disk first, so that a restart has it too."""
        if self._directory is not None:
            save_identity(self._directory, identity)
        self._current = identity
        for listener in tuple(self._listeners.values()):
            listener(identity)
