"""Who is in charge of a workload when one agent follows another: who speaks to Pilot, and whose the files are.

The new agent speaks only when its Envoy is ready: its stream takes the registration over while the old agent's Envoy
still serves, so no caller ever sees the workload go.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.handover import HANDOVER_SOCKET, Handover, HandoverServer, Predecessor, take_over
from envoy_bootstrap.adapters.listening_sockets import ListeningSockets
from envoy_bootstrap.adapters.local_discovery import KeptServer
from envoy_bootstrap.adapters.pilot_stream import PilotStream
from envoy_bootstrap.adapters.supervisor import Supervisor
from envoy_bootstrap.core.readiness import EnvoyReadiness

_log = structlog.get_logger("handover")
_READY_WITHIN = 60.0
_ANSWERED_WITHIN = 5.0
"""Seconds that the old agent's stream stays for the new one's to be answered; with Pilot away it never is."""
_POLL = 0.05


class Succession:
    """`in_charge` is set from the start where there is no agent to follow."""

    def __init__(self, directory: Path, sockets: ListeningSockets, supervisor: Supervisor, stream: PilotStream) -> None:
        self._directory = directory
        self._sockets = sockets
        self._supervisor = supervisor
        self._stream = stream
        self._predecessor: Predecessor | None = None
        self._servers: list[KeptServer] = []
        self._speaks = asyncio.Event()
        self.in_charge = asyncio.Event()
        self.handed_over = False

    async def begin(self, *, follows: bool) -> Handover | None:
        """What the agent of before hands over, if one runs and this one `follows`."""
        self._predecessor = await take_over(self._directory) if follows else None
        if self._predecessor is None:
            self._speaks.set()
            self.in_charge.set()
            return None
        given = self._predecessor.given
        _log.info("following another agent", epoch=given.epoch)
        self._sockets.inherit(given.sockets)
        self._supervisor.follow(given.epoch)
        return given

    async def speak(self) -> None:
        """Keep the stream to Pilot, from the moment on at which this agent may."""
        await self._speaks.wait()
        await self._stream.run()

    async def take_charge(self, readiness: Callable[[], Awaitable[EnvoyReadiness]], unhealthy: str | None) -> None:
        """Once this agent's Envoy is ready: take the registration, then have the other agent go.

        UNAVAILABLE when it is not ready in time: this agent ends then, and the other one serves on.
        """
        predecessor = self._predecessor
        if predecessor is None:
            return
        try:
            async with asyncio.timeout(_READY_WITHIN):
                while True:
                    now = await readiness()
                    if now.ready:
                        break
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the new Envoy is not ready: {now.reason}") from None
        await self._stream.report(unhealthy)
        self._speaks.set()
        await self._stream.is_answered(_ANSWERED_WITHIN)
        with contextlib.suppress(OSError):  # it has ended meanwhile: nobody else is in charge
            await predecessor.done()
        self._supervisor.owns_all()
        self.in_charge.set()
        _log.info("in charge")

    async def serve(
        self,
        runtime: Any,
        servers: Sequence[KeptServer],
        prepare: Callable[[], Handover],
        go: Callable[[], Awaitable[None]],
    ) -> None:
        """Hand over to whoever asks. `prepare` says what there is, `go` is awaited when this agent is to end."""
        self._servers = [*servers]

        def prepared() -> Handover:
            for server in self._servers:
                server.pause()
            return prepare()

        async def done() -> None:
            self.handed_over = True
            self.in_charge.clear()
            self._supervisor.shares()
            await go()

        async def kept() -> None:
            for server in self._servers:
                server.resume()

        server = HandoverServer(self._directory, prepared, done, kept)
        runtime.on_stop(HANDOVER_SOCKET, server.stop)

        async def listen() -> None:
            await self.in_charge.wait()
            await server.run()

        runtime.spawn("handover", listen)
