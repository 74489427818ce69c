"""One NATS connection per process: user and password from a file, TLS when the address says so, for ever
reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from meshcore.bus.subjects import inbox_prefix

RECONNECT_PAUSE = 0.2
PING_EVERY = 5
REQUEST_TIMEOUT = 3.0
"""Seconds: between attempts to reach the server, between pings (two unanswered ones end a dead connection), per
request."""

BUS_ERRORS = (nats.errors.Error, asyncio.TimeoutError, ConnectionError, OSError)
"""What a call over the bus may raise while the server is away; the caller tries again later."""

_log = structlog.get_logger("bus")


@dataclass(frozen=True, slots=True)
class BusSettings:
    """How to reach NATS."""

    url: str
    """`nats://host:port`, or `tls://host:port` beyond loopback; several with commas."""
    user_file: Path | None = None
    """JSON with `user` and `password`, read at each connection."""
    ca_file: Path | None = None
    """The root that signed the server's certificate, for `tls://`."""
    name: str = "meshcore"
    """What the server's monitoring shows."""


class Cancellation:
    """Notices a cancellation that the client swallowed.

    Python 3.11's `asyncio.wait_for`, which the client uses, loses a cancellation that comes together with the answer
    (https://github.com/python/cpython/issues/86296). A loop over the bus asks here, or it might never end.
    """

    def __init__(self) -> None:
        self._before = 0
        self.forget()

    def forget(self) -> None:
        """Start anew: other code ran in this task since, and what it did about cancellations is its own."""
        task = asyncio.current_task()
        self._before = 0 if task is None else task.cancelling()

    def check(self) -> None:
        """Raise CancelledError if this task was cancelled since."""
        task = asyncio.current_task()
        if task is not None and task.cancelling() > self._before:
            raise asyncio.CancelledError


class _Client(Client):  # type: ignore[misc, unused-ignore]
    """Closes the socket of an attempt that ends before the server's greeting, and closes whole what breaks while its
    last data is flushed; the original forgets the one and stops half-way in the other."""

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except BaseException:
            self._transport.close()
            raise

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        except OSError:
            self._status = Client.DISCONNECTED  # else it takes itself for closed; nothing is left to flush now
            await super()._close(status, do_cbs)


class Bus:
    """A connection that is made when it is first needed and comes back by itself.

    `generation` counts (re)connections: whoever holds server-side state (a watch) makes it anew when it has changed.
    The client subscribes again by itself after a reconnection, but it gives up for good when the server refuses it
    (its password was changed, say). Then a new client takes its place, with the user file read again: whoever
    subscribed waits with `replaced`.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._client: Client = _Client()
        self._opening = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self._trouble = ""
        self.generation = 0

    @property
    def is_connected(self) -> bool:
        """Whether the server is there now."""
        return bool(self._client.is_connected)

    @property
    def client(self) -> Client:
        """The underlying client; only after `connected()`."""
        return self._client

    def jetstream(self) -> JetStreamContext:
        """JetStream over this connection."""
        return self._client.jetstream(timeout=REQUEST_TIMEOUT)

    async def connected(self) -> None:
        """Wait until the server is there, for as long as it takes; the first caller makes the connection."""
        async with self._opening:
            if not self._closed and (self.generation == 0 or self._client.is_closed):
                await self._open()
        while not self.is_connected and not self._closed:
            with self.reconnections() as reconnected:
                if not self.is_connected:
                    await reconnected.wait()
        if self._closed:
            raise nats.errors.ConnectionClosedError

    async def replaced(self, client: Client) -> None:
        """Wait until `client` is not in use any more, and with it everything that was subscribed."""
        while self._client is client and not client.is_closed and not self._closed:
            with self.reconnections() as reconnected:
                await reconnected.wait()

    @contextlib.contextmanager
    def reconnections(self) -> Any:
        """An event that is set at the next reconnection, or when the bus closes."""
        event = asyncio.Event()
        with self.on_reconnect(event.set):
            yield event

    @contextlib.contextmanager
    def on_reconnect(self, callback: Callable[[], None]) -> Any:
        """Call back after each reconnection (and at the end) while the block lasts."""
        self._listeners.append(callback)
        try:
            yield
        finally:
            self._listeners.remove(callback)

    async def close(self) -> None:
        """End the connection; safe to call twice and before it was ever made."""
        self._closed = True
        if self.generation and not self._client.is_closed:
            await self._client.close()
        self._tell()

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> None:
        settings = self._settings
        options: dict[str, Any] = {}
        if settings.user_file is not None:
            account = json.loads(settings.user_file.read_text())
            options |= {"user": account["user"], "password": account["password"]}
        servers = [server.strip() for server in settings.url.split(",")]
        if any(server.startswith("tls://") for server in servers):
            options["tls"] = ssl.create_default_context(cafile=settings.ca_file)
        client = _Client()
        cancellation, opener = Cancellation(), asyncio.current_task()

        async def on_error(error: Exception) -> None:
            # One that comes when an attempt has just failed is hidden from the client, which would try for ever.
            if asyncio.current_task() is opener:
                cancellation.check()
            await self._on_error(error)

        try:
            await client.connect(
                servers=servers,
                name=settings.name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_PAUSE,
                connect_timeout=2,
                ping_interval=PING_EVERY,
                allow_reconnect=True,
                inbox_prefix=inbox_prefix(options.get("user", "")),
                error_cb=on_error,
                disconnected_cb=self._on_disconnect,
                reconnected_cb=self._on_reconnect,
                closed_cb=self._on_closed,
                **options,
            )
        except BaseException:
            await client.close()
            raise
        self._client = client
        self.generation += 1
        _log.info("nats connected", server=settings.url)
        self._tell()

    async def _on_error(self, error: Exception) -> None:
        """Say each trouble once: the client repeats its attempts many times a second."""
        detail = str(error)
        if detail != self._trouble:
            self._trouble = detail
            _log.warning("nats error", error=type(error).__name__, detail=detail)

    async def _on_disconnect(self) -> None:
        if not self._closed:
            _log.warning("nats disconnected", server=self._settings.url)

    async def _on_closed(self) -> None:
        """The client has given up; the next who waits in `connected` makes a new one."""
        if not self._closed and self.generation:
            _log.error("nats connection given up", server=self._settings.url, detail=self._trouble)
            self._tell()

    async def _on_reconnect(self) -> None:
        self.generation += 1
        self._trouble = ""
        _log.info("nats reconnected", server=self._settings.url, generation=self.generation)
        self._tell()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()


@contextlib.asynccontextmanager
async def connect(settings: BusSettings) -> AsyncIterator[Bus]:
    """A bus for as long as the block lasts. Does not wait for the server: `connected()` does."""
    async with Bus(settings) as bus:
        yield bus
