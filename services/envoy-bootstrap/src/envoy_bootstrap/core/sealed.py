"""What the agent keeps on disk for a restart without the control plane, sealed under the workload's own key.

AES-256-GCM; the file's name is authenticated with it, so one sealed file cannot stand in for another. Pure: the nonce
is an argument and must never repeat under one key.
"""

import json
from base64 import b64decode, b64encode
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from meshcore.errors import ErrorCode, MeshError
from meshcore.tls import PrivateKeyPem, ServiceIdentity

NONCE_BYTES = 12
MIN_KEY_BYTES = 32


class StateKey:
    """The key of a workload's sealed files, made from whatever 32 bytes or more its key file holds."""

    def __init__(self, material: bytes) -> None:
        if len(material) < MIN_KEY_BYTES:
            raise MeshError(ErrorCode.INVALID, f"the state key file holds fewer than {MIN_KEY_BYTES} bytes")
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"meshcore agent state").derive(material)
        self._cipher = AESGCM(derived)

    def __repr__(self) -> str:
        return "StateKey([redacted])"

    def seal(self, name: str, content: bytes, nonce: bytes) -> bytes:
        """The bytes of the file `name`."""
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """The content; FAILED_PRECONDITION when the file was changed or sealed under another key."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION, f"{name} was not sealed under this state key, or was changed"
            ) from error


def identity_to_bytes(identity: ServiceIdentity, revoked: bytes, others: bytes, received: datetime) -> bytes:
    """Key, chain, root, revocation lists, roots of others, and when the pair was received."""
    public = {"chain": identity.chain, "root": identity.root, "revoked": revoked, "others": others}
    parts = {"key": identity.key.pem, **public}
    document = {name: b64encode(part).decode() for name, part in parts.items()}
    return json.dumps({**document, "received": received.isoformat()}).encode()


def identity_from_bytes(content: bytes) -> tuple[ServiceIdentity, bytes, bytes, datetime]:
    """The reverse; INVALID for anything else. What was stored before there were lists and roots of others has none."""
    try:
        document = json.loads(content)
        key, chain, root = (b64decode(document[name]) for name in ("key", "chain", "root"))
        received = datetime.fromisoformat(document["received"])
        revoked, others = (b64decode(document.get(name, "")) for name in ("revoked", "others"))
        return ServiceIdentity(PrivateKeyPem(key), chain, root), revoked, others, received
    except (ValueError, KeyError, TypeError) as error:
        raise MeshError(ErrorCode.INVALID, "the stored identity cannot be read") from error
