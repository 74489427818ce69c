"""Looks for secrets in whatever a mesh shows, in every form that they may take there."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SHORTEST = 8
_SLICE = slice(24, 64)
"""Of a long form, what is looked for: not its beginning, which may be the same in all of them."""


@dataclass
class SecretSearch:
    """Named secrets, and how each may look."""

    needles: dict[bytes, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """What is looked for."""
        return set(self.needles.values())

    def add(self, name: str, secret: bytes) -> None:
        """A token, a password or a key that is bytes. Too short ones would be found by chance."""
        secret = secret.strip()
        assert len(secret) >= SHORTEST, f"{name} is too short to be looked for"
        text = secret.decode(errors="replace")
        if text.startswith("eyJ") and text.count(".") == 2:
            # Of a JSON web token the signature alone makes it one.
            secret = text.rpartition(".")[2].encode()
        for form in _forms(secret):
            self.needles[form] = name

    def add_private_key(self, name: str, pem: bytes) -> None:
        """The PEM, its lines, its DER and the number in it."""
        key = serialization.load_pem_private_key(pem, password=None)
        for kind in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            made = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
            self._add_long(name, made)
            for line in made.splitlines()[2:-2]:
                self.needles[line] = name
            self._add_long(name, key.private_bytes(serialization.Encoding.DER, kind, serialization.NoEncryption()))
        if isinstance(key, ec.EllipticCurvePrivateKey):
            number, size = key.private_numbers().private_value, (key.key_size + 7) // 8
        else:
            assert isinstance(key, rsa.RSAPrivateKey), f"{name} is of an unknown kind"
            number, size = key.private_numbers().d, (key.key_size + 7) // 8
        self.add(name, str(number).encode())
        self._add_long(name, number.to_bytes(size, "big"))

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """`<secret> in <place>` for each that is there."""
        return [
            f"{name} in {place}"
            for place, content in places
            for name in sorted({name for needle, name in self.needles.items() if needle in content})
        ]

    def _add_long(self, name: str, secret: bytes) -> None:
        """Bytes of which a part is enough to know them."""
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            self.needles[form[_SLICE] if len(form) > _SLICE.stop else form] = name
        for form in _encoded(secret):
            self.needles[form[_SLICE] if len(form) > _SLICE.stop else form] = name


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield from _encoded(secret)


def _encoded(secret: bytes) -> Iterator[bytes]:
    """Base64 wherever the secret begins in what is encoded: at a multiple of three, or one or two bytes behind."""
    for ahead in range(3):
        whole = base64.b64encode(b"\0" * ahead + secret)
        # The first and last group depend on the neighbours.
        inner = whole[4 if ahead else 0 : len(whole) // 4 * 4 - 4]
        if len(inner) >= SHORTEST:
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")
