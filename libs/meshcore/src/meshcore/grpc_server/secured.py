"""TLS of the connections of a port, in slices, between a plain transport and what serves the connection.

asyncio's own TLS keeps for each connection buffers as large as what once came, or went, at once. Here all connections
of a port share one pair of BIOs: what is put into one is taken out again before anybody else is called, so that
between two slices a connection keeps what OpenSSL needs of it and nothing else.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog

from meshcore.grpc_server.handshakes import Handshakes
from meshcore.grpc_server.served import address_of
from meshcore.grpc_server.service import Service

SLICE = 64 * 1024
"""Bytes that go through OpenSSL at once: as many as a connection writes at once. The BIOs stay as large as they ever
were, but there are only two of them."""
RECORD = 16 * 1024
"""Bytes that OpenSSL reads at once at most: a record's (RFC 8446 §5.1)."""
HANDSHAKE_TIMEOUT = 10
"""Seconds from the connection to the end of its handshake, without those that it waited for its turn."""
LINGER = 10
"""Seconds that a client gets to take what is left for it and to close, too."""
MOST_WAITING = 16 * 1024 * 1024
"""Bytes of all handshakes that wait for their turns; beyond them nobody waits."""
LONGEST_NOTHING = 64 * 1024
"""Bytes in a row that say nothing to who serves the connection: a record with one byte may have 16 KiB, an update of
keys has 27 bytes and costs more than most requests."""
_Bytes = bytes | bytearray | memoryview
_log = structlog.get_logger("grpc")


class SecurePort:
    """What the connections of a port share; call it for each."""

    def __init__(self, context: ssl.SSLContext, service: Service, serve: Callable[[], asyncio.Protocol]) -> None:
        context.set_alpn_protocols(["h2"])
        self.context = context
        self._service = service
        self.serve = serve
        """Makes what serves a connection, once its handshake is done."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.buffer = memoryview(bytearray(SLICE))
        """Where ciphertext arrives, of one connection at a time."""
        self.handshakes = Handshakes()
        self.waiting = 0
        """Bytes of handshakes that wait for their turns."""
        self._unfinished: dict[Secured, None] = {}
        """Connections without a handshake, or with one that failed; the oldest first."""

    def __call__(self) -> "Secured":
        """A connection."""
        return Secured(self)

    def admits(self, one: "Secured") -> bool:
        """Whether one more may begin. It may have the place of the oldest that has not got any further: who only
        connects keeps nobody out."""
        if not self._service.has_room():
            return False
        if len(self._unfinished) >= self._service.bounds.connections:
            oldest = next(iter(self._unfinished))
            # At once: many may come before the loop says of it that it is over, and each takes another's place.
            self.settled(oldest)
            oldest.abort()
        self._unfinished[one] = None
        return True

    def settled(self, one: "Secured") -> None:
        """A handshake is done, or its connection is over."""
        self._unfinished.pop(one, None)

    def drop_unfinished(self) -> None:
        """The port closes."""
        for one in tuple(self._unfinished):
            one.abort()


class Secured(asyncio.Transport, asyncio.BufferedProtocol):
    """One connection: the protocol of its plain transport (`wire`), the transport of who serves it (`served`)."""

    __slots__ = (
        *("_choked", "_closing", "_deaf", "_full", "_held", "_nothing", "_port", "_served", "_shaken", "_since"),
        *("_timer", "_tls", "_waited", "_wire"),
    )

    def __init__(self, port: SecurePort) -> None:
        super().__init__()
        self._port = port
        self._wire: asyncio.Transport | None = None
        self._tls: ssl.SSLObject | None = None
        self._served: asyncio.Protocol | None = None
        """There once the handshake is done."""
        self._timer: asyncio.TimerHandle | None = None
        self._held: bytes | None = None
        """Ciphertext of a handshake that waits for its turn."""
        self._since = self._waited = 0.0
        """When it began to wait, and the seconds that all its steps waited, by which the handshake may end later."""
        self._nothing = 0
        """Bytes since something was said."""
        self._shaken = self._closing = False
        self._full = False
        """Whether the wire has more than it likes."""
        self._deaf = self._choked = False
        """Whether nothing is read: for who serves it does not want to, or for answers of TLS itself that wait."""

    # What the wire calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is somebody. Nothing is made for him before he has said a word."""
        self._wire = cast(asyncio.Transport, transport)
        if self._port.admits(self):
            self._set_timer(HANDSHAKE_TIMEOUT)
        else:
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the wire puts what comes: a slice at a time, so that nothing lies here while nobody listens."""
        return self._port.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Ciphertext; who was told good-bye says nothing any more."""
        if self._closing:
            return
        piece = self._port.buffer[:nbytes]
        if self._shaken or nbytes + self._port.waiting > MOST_WAITING:
            self._take(piece)
        elif self._wire is not None:
            self._wire.pause_reading()
            self._held = bytes(piece)
            self._port.waiting += nbytes
            self._since = asyncio.get_running_loop().time()
            self._port.handshakes.wants(self)

    def take_turn(self) -> None:
        """The handshake goes on by a step."""
        data = self._release()
        if data is not None and not self._closing:
            self._waited += asyncio.get_running_loop().time() - self._since
            self._take(data)
            self._listen()

    def eof_received(self) -> None:
        """The client says nothing more: it gets what has been written, as it does in plaintext."""
        if not self._closing and self._shaken:
            self._say_goodbye()
            self._set_timer(LINGER)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._closing = True
        self._release()
        if self._timer is not None:
            self._timer.cancel()
        self._port.settled(self)
        served, self._served = self._served, None
        self._wire = self._tls = None
        if served is not None:
            served.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._full = True
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._full = self._choked = False
        if self._served is not None:
            self._served.resume_writing()
        self._listen()

    # What who serves the connection calls.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object` is of this; everything else of the wire."""
        if name == "ssl_object":
            return self._tls
        return default if self._wire is None else self._wire.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the wire, in bytes of ciphertext."""
        if self._wire is not None:
            self._wire.set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def write(self, data: _Bytes) -> None:
        """Encrypt, and hand it to the wire. Who is told to pause has written one such piece too much, no more."""
        tls, wire = self._tls, self._wire
        if self._closing or tls is None or wire is None:
            return
        outgoing = self._port.outgoing
        for piece in _slices(data):
            try:
                tls.write(piece)
            finally:
                wire.write(outgoing.read())

    def pause_reading(self) -> None:
        """Nothing more is decrypted."""
        self._deaf = True
        if self._wire is not None and not self._closing:
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        """On it goes."""
        if self._deaf:
            self._deaf = False
            self._listen()

    def close(self) -> None:
        """Say good-bye, and wait for the client to do so: what it still says could take away what is on its way."""
        if not self._closing:
            self._say_goodbye()
            self._linger()

    def abort(self) -> None:
        """End it at once."""
        self._closing = True
        if self._wire is not None:
            self._wire.abort()

    # In between.

    def _take(self, piece: _Bytes) -> None:
        said, end = self._decrypt(piece)
        if self._served is None and self._shaken:
            self._shook_hands()
        if end and not self._closing:
            # TLS is beyond writing: who is told of what was said before finds nobody to answer.
            self._ended(end)
        if said:
            self._nothing = 0
            if self._served is not None:
                self._served.data_received(said)
        else:
            self._nothing += len(piece)
            if self._nothing > LONGEST_NOTHING and end is None:
                end = "too much that says nothing"
        if end is not None and not self._closing:
            self._ended(end)

    def _decrypt(self, piece: _Bytes) -> tuple[bytes, str | None]:
        """What a piece of ciphertext says; with it why the connection ends if it does, "" for the client's good-bye.

        Both BIOs are empty when anybody else is called: another connection may be written to from there.
        """
        port, tls = self._port, self._tls
        if tls is None:
            tls = self._tls = port.context.wrap_bio(port.incoming, port.outgoing, server_side=True)
        incoming, outgoing = port.incoming, port.outgoing
        said: list[bytes] = []
        end = None
        incoming.write(piece)
        try:
            if not self._shaken:
                tls.do_handshake()
                self._shaken = True
            # To ask when there is nothing would be an error each time, and errors cost more than small messages; to ask
            # for less than a record has would take it apart into pieces as small as what is here of the next.
            while size := max(incoming.pending, tls.pending()):
                if not (text := tls.read(min(size, RECORD))):
                    end = ""
                    break
                said.append(text)
        except ssl.SSLError as error:
            end = _fault(error)
        finally:
            if incoming.pending:
                incoming.read()
            if outgoing.pending and self._wire is not None:
                self._wire.write(outgoing.read())
                if self._full and not self._closing:
                    # It makes TLS answer, and does not take the answers.
                    self._choked = True
                    self._wire.pause_reading()
        return b"".join(said), end

    def _shook_hands(self) -> None:
        self._port.settled(self)
        if self._timer is not None:
            self._timer.cancel()
        self._served = self._port.serve()
        self._served.connection_made(self)
        if self._full:
            self._served.pause_writing()

    def _ended(self, reason: str) -> None:
        """By what the client says, or does."""
        if reason:
            peer = address_of(self.get_extra_info("peername"))
            _log.info("connection ended" if self._shaken else "handshake failed", peer=peer, reason=reason)
        if not self._shaken:
            self._closing = True
            self._linger()
            return
        self._say_goodbye()
        self._set_timer(LINGER)
        if self._wire is not None:
            self._wire.close()

    def _say_goodbye(self) -> None:
        self._closing = True
        self._release()
        if self._tls is not None and self._wire is not None:
            # The client's good-bye is not there yet, or TLS is beyond that.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._wire.write(self._port.outgoing.read())

    def _linger(self) -> None:
        self._set_timer(LINGER)
        if self._wire is None or self._wire.is_closing():
            return
        try:
            self._wire.write_eof()
        except OSError:
            # asyncio's own wire does it at once: the client is gone, and the loop has not said so yet.
            self._wire.abort()
        else:
            self._wire.resume_reading()

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._closing:
            self.abort()
        elif self._held is not None:
            self._set_timer(HANDSHAKE_TIMEOUT)
        elif self._waited:
            self._set_timer(self._waited)
            self._waited = 0.0
        else:
            self.abort()

    def _release(self) -> bytes | None:
        held, self._held = self._held, None
        if held is not None:
            self._port.waiting -= len(held)
        return held

    def _listen(self) -> None:
        """Go on with what comes, unless there is still a reason not to."""
        if self._wire is not None and not (self._deaf or self._choked or self._closing or self._held is not None):
            self._wire.resume_reading()


def _slices(data: _Bytes) -> Sequence[_Bytes]:
    if len(data) <= SLICE:
        return (data,)
    whole = memoryview(data)
    return [whole[place : place + SLICE] for place in range(0, len(data), SLICE)]


def _fault(error: ssl.SSLError) -> str | None:
    """Why the connection ends; None when OpenSSL only waits for more."""
    if isinstance(error, ssl.SSLWantReadError):
        return None
    return getattr(error, "verify_message", None) or error.reason or "no TLS"
