"""The digest of a set of config objects: the sum, modulo 2**256, of one SHA-256 per object.

A sum can be kept up incrementally, in any order, by the store and by each consumer; equal sums at equal revisions mean
equal sets. It guards against loss and bugs, not against an enemy, who cannot write here. Pure.
"""

from __future__ import annotations

import hashlib

_MODULUS = 1 << 256

EMPTY_DIGEST = "0" * 64


def object_digest(kv_key: str, revision: int, body: bytes) -> str:
    """The hash of one object at one revision: 64 hex digits over its key, its revision and its canonical JSON."""
    return hashlib.sha256(b"%s\0%d\0%s" % (kv_key.encode(), revision, body)).hexdigest()


class SetDigest:
    """The running digest of one set; mutable, owned by one holder."""

    __slots__ = ("_total",)

    def __init__(self, text: str = EMPTY_DIGEST) -> None:
        self._total = int(text, 16)

    def add(self, digest: str) -> None:
        """An object with this hash joined the set."""
        self._total = (self._total + int(digest, 16)) % _MODULUS

    def remove(self, digest: str) -> None:
        """An object with this hash left the set."""
        self._total = (self._total - int(digest, 16)) % _MODULUS

    def copy(self) -> SetDigest:
        """An independent copy."""
        return SetDigest(str(self))

    def __str__(self) -> str:
        return f"{self._total:064x}"
