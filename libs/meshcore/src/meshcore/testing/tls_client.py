"""A client of TLS 1.3 without a socket that does with its records what a test wants.

client = TlsClient(ssl_client_context(identity), folder)
wire.write(client.step()); client.step(wire.read()) ...      until `client.greeted`
wire.write(client.key_update())                                what OpenSSL has no words for
"""

import contextlib
import ssl
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_RECORD = b"\x17\x03\x03"
_HANDSHAKE = 22
APPLICATION = 23
_ASK_FOR_NEW_KEYS = b"\x18\0\0\1\1"


class TlsClient:
    """One connection; after the first forged record `write` is of no use any more."""

    def __init__(self, context: ssl.SSLContext, folder: Path, host: str = "localhost") -> None:
        self._log = folder / "keys.log"
        self._log.unlink(missing_ok=True)
        context.keylog_filename = str(self._log)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.greeted = False
        self.over = False
        """Whether the server has said good-bye."""
        self._secret: bytes | None = None
        self._hash: hashes.HashAlgorithm = hashes.SHA384()
        self._number = 0

    def step(self, data: bytes = b"") -> bytes:
        """Take ciphertext; what the handshake says to it."""
        self._incoming.write(data)
        if not self.greeted:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                self.greeted = True
        return self._outgoing.read()

    def read(self, data: bytes = b"") -> bytes:
        """Everything that ciphertext says."""
        self._incoming.write(data)
        said = []
        with contextlib.suppress(ssl.SSLWantReadError):
            # After our own good-bye OpenSSL has other words for the server's.
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while text := self.tls.read(64 * 1024):
                    said.append(text)
            self.over = True
        return b"".join(said)

    def write(self, data: bytes) -> bytes:
        """Ciphertext."""
        self.tls.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()

    def forged(self, content: bytes, kind: int = APPLICATION) -> bytes:
        """A record made by hand, of the next number, for a client that has written nothing else."""
        secret = self._current_secret()
        key = self._expand(secret, b"key", 32 if self._hash.digest_size == 48 else 16)
        vector = int.from_bytes(self._expand(secret, b"iv", 12)) ^ self._number
        self._number += 1
        head = _RECORD + (len(content) + 1 + 16).to_bytes(2)
        return head + AESGCM(key).encrypt(vector.to_bytes(12), content + bytes([kind]), head)

    def key_update(self) -> bytes:
        """A record that says that new keys are used from now on, and asks for the server's."""
        record = self.forged(_ASK_FOR_NEW_KEYS, _HANDSHAKE)
        self._secret = self._expand(self._current_secret(), b"traffic upd", self._hash.digest_size)
        self._number = 0
        return record

    def _current_secret(self) -> bytes:
        if self._secret is None:
            lines = [line.split() for line in self._log.read_text().splitlines()]
            self._secret = bytes.fromhex(next(line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"))
            if len(self._secret) == 32:
                self._hash = hashes.SHA256()
        return self._secret

    def _expand(self, secret: bytes, label: bytes, length: int) -> bytes:
        name = b"tls13 " + label
        info = length.to_bytes(2) + bytes([len(name)]) + name + b"\0"
        return HKDFExpand(self._hash, length, info).derive(secret)
