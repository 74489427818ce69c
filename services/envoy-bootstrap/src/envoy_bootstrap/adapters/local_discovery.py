"""The agent's discovery services on Unix sockets: secrets, and the last good configuration.

Whoever can open the socket gets the workload's key: the directory is 0700 and the socket 0600.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.secret.v3 import sds_pb2_grpc
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks

from envoy_bootstrap.core.discovery import DeltaDiscovery, Resources, SotwDiscovery

_log = structlog.get_logger("discovery")
_OPTIONS = (
    # Envoy's keepalive pings are more frequent than gRPC servers like.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)
_GRACE = 0.2
_LOOK_EVERY = 1.0
_HAND_BACK_WITHIN = 1.0


class Discovery:
    """The resources of one socket and the streams that follow them."""

    def __init__(self, asked: Callable[[Iterable[str]], None] = lambda names: None) -> None:
        self.resources: Resources = {}
        self._asked = asked
        self._streams: dict[asyncio.Queue[Any], DeltaDiscovery | SotwDiscovery] = {}
        self._progress = asyncio.Event()

    @property
    def streams(self) -> int:
        """Open streams: Envoy opens one per secret name."""
        return len(self._streams)

    def replace(self, resources: Resources) -> None:
        """Have every stream sent what is new in `resources`."""
        self.resources = resources
        for queue in self._streams:
            queue.put_nowait(_CHANGED)

    def end_streams(self) -> None:
        """End every stream in good order, so that the clients look for another server."""
        for queue in self._streams:
            queue.put_nowait(_END)

    async def serve(self, requests: Any, session: DeltaDiscovery | SotwDiscovery) -> AsyncIterator[Any]:
        """The responses of one stream, until the client or `end_streams` ends it."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._streams[queue] = session
        try:
            async with tasks.background(_forward(requests, queue), name="discovery requests"):
                while (event := await queue.get()) is not _END:
                    if event is _CHANGED:
                        responses = session.resources_changed(self.resources)
                    else:
                        if event.HasField("error_detail"):
                            _log.error("envoy refuses", type_url=event.type_url, reason=event.error_detail.message)
                        self._asked(session.names_in(event))
                        responses = session.request_received(event)
                        self._progress.set()
                    for response in responses:
                        yield response
        finally:
            del self._streams[queue]
            self._progress.set()

    def watches(self, type_url: str, name: str) -> bool:
        """Whether some client follows this resource now."""
        return any(one.standing(type_url, name) is not None for one in self._streams.values())

    async def confirmed(self, type_url: str, name: str, version: str) -> str:
        """Wait until every client that watches a resource has taken or refused this version of it.

        Returns what a client refused it for, "" when none did: also when nobody watches it, since whoever comes is
        given it first.
        """
        while True:
            self._progress.clear()
            watching = [found for one in self._streams.values() if (found := one.standing(type_url, name)) is not None]
            refused = [one.reason for one in watching if one.refused == version and one.taken != version]
            if refused:
                return refused[0]
            if all(one.taken == version for one in watching):
                return ""
            await self._progress.wait()


class SecretService(sds_pb2_grpc.SecretDiscoveryServiceServicer):  # type: ignore[misc]
    """`default` and `ROOTCA`."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def DeltaSecrets(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """The incremental variant."""
        async for response in self._discovery.serve(requests, DeltaDiscovery(self._discovery.resources)):
            yield response

    async def StreamSecrets(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """The state-of-the-world variant."""
        async for response in self._discovery.serve(requests, SotwDiscovery(self._discovery.resources)):
            yield response


class LastGoodService(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """What Envoy last had from Pilot; refused while there is nothing, so that Envoy goes back to Pilot.

    `pilot_answers` says whether the agent's own stream is answered: then Envoy is handed back soon.
    """

    def __init__(
        self,
        discovery: Discovery,
        snapshot: Callable[[], Awaitable[Resources]],
        pilot_answers: Callable[[], bool],
    ) -> None:
        self._discovery = discovery
        self._snapshot = snapshot
        self._pilot_answers = pilot_answers

    async def DeltaAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """The incremental variant, which our bootstrap asks for."""
        resources = await self._snapshot()
        if not resources:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "there is no last good configuration")
        answers = self._pilot_answers()
        _log.info("envoy takes the last good configuration", pilot_answers=answers)
        if answers:
            self.hand_back()
        async for response in self._discovery.serve(requests, DeltaDiscovery(resources)):
            yield response

    def hand_back(self) -> None:
        """End the streams within a second, at a moment of chance: a fleet must not return to Pilot in step."""
        delay = random.uniform(0, _HAND_BACK_WITHIN)  # noqa: S311 - spreads a fleet
        asyncio.get_running_loop().call_later(delay, self._discovery.end_streams)


async def start_server(socket: Path, register: Callable[[Any], None]) -> Any:
    """A gRPC server on a Unix socket of mode 0600; FAILED_PRECONDITION when the socket cannot be bound."""
    server = grpc.aio.server(options=_OPTIONS)
    register(server)
    try:
        socket.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        socket.chmod(0o600)
    except (RuntimeError, OSError) as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {socket}") from error
    return server


async def stop_server(server: Any, socket: Path) -> None:
    """End the streams and remove the socket."""
    await server.stop(_GRACE)
    socket.unlink(missing_ok=True)


class KeptServer:
    """A server whose socket is made again when somebody has removed it or put something in its place: an Envoy that
    starts later needs it, and must not ask somebody else."""

    def __init__(self, socket: Path, register: Callable[[Any], None]) -> None:
        self._socket = socket
        self._register = register
        self._servers: list[Any] = []
        self._made: tuple[int, int] | None = None
        self._paused = False

    async def start(self) -> None:
        """Listen; FAILED_PRECONDITION when the socket cannot be bound."""
        self._servers.append(await start_server(self._socket, self._register))
        self._made = place_of(self._socket)

    async def keep(self) -> None:
        """Look every second; never returns. Streams of the former server go on."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if not self._paused and place_of(self._socket) != self._made:
                _log.warning("socket was removed or replaced, it is made again", socket=self._socket.name)
                await self.start()

    async def stop(self) -> None:
        """End all streams and remove the socket, if it is still this server's."""
        self.pause()
        own = place_of(self._socket) == self._made
        for server in self._servers:
            await server.stop(_GRACE)
        if own:
            self._socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """Let another server have the socket's place; streams go on."""
        self._paused = True

    def resume(self) -> None:
        """Look after the place again."""
        self._paused = False


def place_of(socket: Path) -> tuple[int, int] | None:
    """What is there; None for nothing."""
    try:
        found = socket.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def _forward(requests: Any, queue: "asyncio.Queue[Any]") -> None:
    try:
        async for request in requests:
            queue.put_nowait(request)
    finally:
        queue.put_nowait(_END)


_CHANGED, _END = object(), object()
