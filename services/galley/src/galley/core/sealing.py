"""Confidential objects at rest: each encrypted under a key of its own, which is wrapped by Galley's key-encryption key.

sealed = b"s1" + key nonce (12) + wrapped key (48) + nonce (12) + ciphertext with tag, AES-256-GCM. What the object is
(its key in the store and its uid) is bound to both, so that one sealed object cannot take the place of another. With
the sealed bytes the object's own key goes, and with it every copy of the ciphertext is worthless.
Pure; keys and nonces come in as arguments.
"""

import base64
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from meshcore.errors import ErrorCode, MeshError

KEY_BYTES = 32
NONCE_BYTES = 12
_WRAPPED_BYTES = KEY_BYTES + 16
_FORMAT = b"s1"
_BODY_AT = len(_FORMAT) + NONCE_BYTES + _WRAPPED_BYTES


class Vault:
    """Seals and opens; nothing of it can be printed."""

    __slots__ = ("_digest_key", "_kek")

    def __init__(self, kek: bytes) -> None:
        if len(kek) != KEY_BYTES:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "a key-encryption key has 32 bytes")
        self._kek = AESGCM(kek)
        self._digest_key = HKDF(SHA256(), KEY_BYTES, None, b"meshcore galley content digest").derive(kek)

    @classmethod
    def of_text(cls, text: str) -> "Vault":
        """From a key as `init` writes it (base64 of 32 bytes); FAILED_PRECONDITION without quoting it."""
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            key = b""
        return cls(key)

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, plain: bytes, purpose: str, random: Callable[[int], bytes]) -> bytes:
        """Encrypt under a new key; `random` answers that many unpredictable bytes."""
        key, key_nonce, nonce = random(KEY_BYTES), random(NONCE_BYTES), random(NONCE_BYTES)
        bound = purpose.encode()
        wrapped = self._kek.encrypt(key_nonce, key, bound)
        return _FORMAT + key_nonce + wrapped + nonce + AESGCM(key).encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt; FAILED_PRECONDITION when key, purpose or bytes are not those it was sealed with."""
        nonces_at = len(_FORMAT) + NONCE_BYTES
        try:
            if sealed[: len(_FORMAT)] != _FORMAT:
                raise InvalidTag
            bound = purpose.encode()
            key = self._kek.decrypt(sealed[len(_FORMAT) : nonces_at], sealed[nonces_at:_BODY_AT], bound)
            nonce, body = sealed[_BODY_AT : _BODY_AT + NONCE_BYTES], sealed[_BODY_AT + NONCE_BYTES :]
            return AESGCM(key).decrypt(nonce, body, bound)
        except (InvalidTag, ValueError):
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION, "a confidential object does not open: sealed with another key"
            ) from None

    def digest(self, plain: bytes, purpose: str) -> str:
        """A keyed digest of the content: who has the database alone cannot try out what it was."""
        return hmac.digest(self._digest_key, purpose.encode() + b"\0" + plain, "sha256").hex()


def no_vault() -> MeshError:
    """The error of a Galley that has no key."""
    return MeshError(
        ErrorCode.FAILED_PRECONDITION, "this Galley has no key-encryption key, so it takes no confidential objects"
    )
