"""A private key in PEM that cannot be printed by accident."""

from typing import Final


class PrivateKeyPem:
    """Holds the key; only `.pem` gives it out. `str`, `repr`, logs and errors show `[redacted]`."""

    __slots__ = ("pem",)

    def __init__(self, pem: bytes) -> None:
        self.pem: Final = pem

    def __repr__(self) -> str:
        return "PrivateKeyPem([redacted])"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKeyPem) and other.pem == self.pem

    def __hash__(self) -> int:
        return hash(self.pem)

    def __reduce__(self) -> tuple[type, tuple[bytes]]:
        raise TypeError("a private key is not pickled")
