"""Keys at rest: AES-256-GCM under a key-encryption key. Pure; the nonce comes in as an argument.

sealed = b"v1" + nonce (12) + ciphertext with tag; the purpose is bound as associated data, so that one sealed
value cannot be put in the place of another.
"""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from meshcore.errors import ErrorCode, MeshError

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"v1"


def parse_kek(text: str) -> bytes:
    """A key-encryption key as `init` writes it (base64 of 32 bytes); FAILED_PRECONDITION without quoting it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the key-encryption key is not base64 of 32 bytes")
    return key


def seal(kek: bytes, plain: bytes, purpose: str, nonce: bytes) -> bytes:
    """Encrypt; a nonce (12 random bytes) must never be used twice under one key."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    return _FORMAT + nonce + AESGCM(kek).encrypt(nonce, plain, purpose.encode())


def unseal(kek: bytes, sealed: bytes, purpose: str) -> bytes:
    """Decrypt; FAILED_PRECONDITION when the key, the purpose or the bytes are not the ones it was sealed with."""
    if sealed[:2] != _FORMAT or len(sealed) < 2 + NONCE_BYTES:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the sealed value is of no known format")
    try:
        return AESGCM(kek).decrypt(sealed[2 : 2 + NONCE_BYTES], sealed[2 + NONCE_BYTES :], purpose.encode())
    except InvalidTag:
        raise MeshError(
            ErrorCode.FAILED_PRECONDITION, "the stored key does not open: it was sealed with another key-encryption key"
        ) from None
