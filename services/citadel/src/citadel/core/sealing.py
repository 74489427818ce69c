"""Keys at rest: AES-256-GCM under a key-encryption key. Pure; the nonce comes in as an argument.

sealed = b"v1" + nonce (12) + ciphertext with tag; the purpose is bound as associated data, so that one sealed
value cannot be put in the place of another.
"""

import base64
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from meshcore.errors import ErrorCode, MeshError

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"v1"


def parse_keks(text: str) -> tuple[bytes, ...]:
    """The key-encryption keys (each base64 of 32 bytes), the one that seals first, former ones behind it.

    `init` writes one; two are there while one replaces the other. FAILED_PRECONDITION without quoting any.
    """
    keys = []
    for part in text.replace(",", " ").split():
        try:
            keys.append(base64.b64decode(part, validate=True))
        except ValueError:
            keys.append(b"")
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the key-encryption key is not base64 of 32 bytes")
    return tuple(keys)


def seal(kek: bytes, plain: bytes, purpose: str, nonce: bytes) -> bytes:
    """Encrypt; a nonce (12 random bytes) must never be used twice under one key."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    return _FORMAT + nonce + AESGCM(kek).encrypt(nonce, plain, purpose.encode())


def unseal(keks: Sequence[bytes], sealed: bytes, purpose: str) -> tuple[bytes, bool]:
    """Decrypt, and say whether the first key did it; when not, it should be sealed again.

    FAILED_PRECONDITION when no key, the purpose or the bytes are the ones it was sealed with.
    """
    if sealed[:2] != _FORMAT or len(sealed) < 2 + NONCE_BYTES:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the sealed value is of no known format")
    for index, kek in enumerate(keks):
        try:
            plain = AESGCM(kek).decrypt(sealed[2 : 2 + NONCE_BYTES], sealed[2 + NONCE_BYTES :], purpose.encode())
        except InvalidTag:
            continue
        return plain, index == 0
    raise MeshError(
        ErrorCode.FAILED_PRECONDITION, "the stored key does not open: it was sealed with another key-encryption key"
    )
