"""TLS on memory: asyncio's own keeps a buffer of 256 KiB for each connection, and ten thousand are to fit."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from bench.scale.client.connection import Call

_SLICE = 16 * 1024
"""Bytes that go through OpenSSL at once: its buffers stay as large as they ever were."""


def context_of(folder: Path, name: str) -> ssl.SSLContext:
    """From `NAME.key`, `NAME.pem` (with its chain) and `root-cert.pem`."""
    context = ssl.create_default_context(cafile=str(folder / "root-cert.pem"))
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    context.set_alpn_protocols(["h2"])
    return context


class SecureWire(asyncio.Protocol):
    """A connection with TLS; to its call it is what bytes are written to."""

    def __init__(self, call: Call, context: ssl.SSLContext, host: str) -> None:
        self._call = call
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._transport: asyncio.Transport | None = None
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = transport  # type: ignore[assignment]
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Decrypt; what it says goes to the call."""
        for place in range(0, len(data), _SLICE):
            self._incoming.write(data[place : place + _SLICE])
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """To the call."""
        self._call.over(f"connection lost: {exc}" if exc else "connection closed")

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        for place in range(0, len(data), _SLICE):
            self._tls.write(data[place : place + _SLICE])
            self._flush()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def _advance(self) -> None:
        try:
            if not self._greeted:
                self._tls.do_handshake()
                self._greeted = True
                self._call.began(self)
            while data := self._tls.read(_SLICE):
                self._call.take(data)
            self._call.over("the server has closed TLS")
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._call.over(f"TLS: {error.reason}")
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())
