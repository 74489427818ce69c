"""The agent's sealed files in its state directory; nothing is stored without a state key file."""

import os
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.tls import ServiceIdentity, write_private

from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.issued import is_usable
from envoy_bootstrap.core.kept_secrets import secrets_from_bytes, secrets_to_bytes
from envoy_bootstrap.core.sealed import NONCE_BYTES, StateKey, identity_from_bytes, identity_to_bytes

_log = structlog.get_logger("state")
IDENTITY_FILE = "identity.sealed"
SNAPSHOT_FILE = "snapshot.sealed"
NAMES_FILE = "names.sealed"
SECRETS_FILE = "secrets.sealed"
EXTENSIONS_FILE = "extensions.sealed"


class StoredState:
    """Last good key pair, configuration and Secrets on disk."""

    def __init__(self, directory: Path, key: StateKey | None) -> None:
        self._directory = directory
        self._key = key

    @classmethod
    def open(cls, directory: Path, key_file: str) -> "StoredState":
        """With the key of `key_file`; without one the feature is off, which is said once."""
        if not key_file:
            _log.info("nothing is stored for a restart without the control plane: no STATE_KEY_FILE")
            return cls(directory, None)
        try:
            return cls(directory, StateKey(Path(key_file).read_bytes()))
        except FileNotFoundError:
            _log.warning("nothing is stored for a restart without the control plane: no such file", path=key_file)
            return cls(directory, None)
        except OSError as error:
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION, f"STATE_KEY_FILE: {key_file} cannot be read: {error.strerror}"
            ) from None

    def load_identity(self, expected: SpiffeId) -> tuple[ServiceIdentity, bytes, bytes, datetime] | None:
        """Pair, revocation lists, roots of others, and since when; one that is expired or another's is deleted."""
        content = self._read(IDENTITY_FILE)
        if content is None:
            return None
        identity, revoked, others, received = identity_from_bytes(content)
        if not is_usable(identity, expected, datetime.now(UTC)):
            (self._directory / IDENTITY_FILE).unlink(missing_ok=True)
            return None
        return identity, revoked, others, received

    def save_identity(self, identity: ServiceIdentity, revoked: bytes, others: bytes, received: datetime) -> None:
        """Keep a pair."""
        self._write(IDENTITY_FILE, identity_to_bytes(identity, revoked, others, received))

    def load_snapshot(self) -> bytes | None:
        """The compressed config dump."""
        return self._read(SNAPSHOT_FILE)

    def save_snapshot(self, compressed: bytes) -> None:
        """Keep it."""
        self._write(SNAPSHOT_FILE, compressed)

    def load_names(self) -> bytes | None:
        """The serialised name table."""
        return self._read(NAMES_FILE)

    def save_names(self, table: bytes) -> None:
        """Keep it."""
        self._write(NAMES_FILE, table)

    def load_secrets(self) -> dict[str, Versioned]:
        """The Secrets that Envoy used last."""
        return self._load_resources(SECRETS_FILE)

    def save_secrets(self, held: Mapping[str, Versioned]) -> None:
        """Keep them; no file for none."""
        self._save_resources(SECRETS_FILE, held)

    def load_extensions(self) -> dict[str, Versioned]:
        """The extensions that Pilot described last: their configuration may be secret, too."""
        return self._load_resources(EXTENSIONS_FILE)

    def save_extensions(self, described: Mapping[str, Versioned]) -> None:
        """Keep them; no file for none."""
        self._save_resources(EXTENSIONS_FILE, described)

    def _load_resources(self, name: str) -> dict[str, Versioned]:
        content = self._read(name)
        return {} if content is None else secrets_from_bytes(content)

    def _save_resources(self, name: str, resources: Mapping[str, Versioned]) -> None:
        if resources:
            self._write(name, secrets_to_bytes(resources))
        else:
            (self._directory / name).unlink(missing_ok=True)

    def _read(self, name: str) -> bytes | None:
        path = self._directory / name
        if self._key is None or not path.exists():
            return None
        try:
            return self._key.unseal(name, path.read_bytes())
        except (MeshError, OSError) as error:
            _log.warning("stored state is not used", file=name, reason=str(error))
            path.unlink(missing_ok=True)
            return None

    def _write(self, name: str, content: bytes) -> None:
        if self._key is not None:
            write_private(self._directory / name, self._key.seal(name, content, os.urandom(NONCE_BYTES)))


def compress(text: str) -> bytes:
    """A config dump is mostly repetition."""
    return zlib.compress(text.encode(), 6)


def decompress(content: bytes) -> str:
    """The reverse; INVALID when it is not one of ours."""
    try:
        return zlib.decompress(content).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise MeshError(ErrorCode.INVALID, "the stored configuration cannot be read") from error
