"""One simulated proxy: what it holds, what it answers, when it connects again."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

from bench.scale.client.connection import Call, PlainWire, opening
from bench.scale.client.held import EMPTY, FOLLOWED, NAMED_BY, Held, message_of
from bench.scale.client.node import extensions, node
from bench.scale.client.tls import SecureWire

WILDCARDS = (CLUSTER_TYPE, LISTENER_TYPE)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds before another attempt, as in the bootstrap of our Envoys: drawn from zero to what has doubled so far."""
_NOTHING: frozenset[str] = frozenset()


@dataclass
class Crowd:
    """What all proxies of this process share."""

    host: str
    port: int
    classes: int
    contexts: tuple[ssl.SSLContext, ...] = ()
    """One for each class; none: plaintext."""
    longest_pause: float = LONGEST_PAUSE
    late: float = 0.0
    """Seconds until a proxy answers, as if it were so far away or so slow."""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    """Something came to one of them."""
    reached: int = 0
    """Proxies that have been sent something since the mark."""
    ends: dict[str, int] = field(default_factory=dict)
    """Why streams have ended, and how often."""
    connecting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(512))
    """As many at once as a listener's backlog holds for sure."""
    draw: random.Random = field(default_factory=lambda: random.Random(1))


class Proxy:
    """One connection with one stream, opened again when it ends, with what was held."""

    __slots__ = (
        "_call",
        "_crowd",
        "_node",
        "_stopped",
        "_tries",
        "answered",
        "bytes",
        "first",
        "frames",
        "held",
        "last",
        "number",
    )

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd, self.number = crowd, number
        self._node = node(number, crowd.classes)
        self._call: Call | None = None
        self._tries = 0
        self._stopped = False
        self.held: dict[str, Held] = {}
        self.answered: frozenset[str] = _NOTHING
        """Types that this stream has brought something of."""
        self.first, self.last, self.frames, self.bytes = 0.0, 0.0, 0, 0
        """When the first message had come and when the last ACK was given (CLOCK_MONOTONIC), and how much came since
        the mark."""

    @property
    def complete(self) -> bool:
        """Whether every type that was asked for is here."""
        here = self.answered.union(kind for kind, held in self.held.items() if held.resources)
        return all(kind in here for kind in WILDCARDS) and all(
            FOLLOWED[kind] in here for kind in WILDCARDS if self._holds(kind).named
        )

    def mark(self) -> None:
        """Forget what came before."""
        self.first, self.last, self.frames, self.bytes = 0.0, 0.0, 0, 0

    async def connect(self) -> None:
        """Try once; another attempt follows when this one ends."""
        crowd = self._crowd
        async with crowd.connecting:
            opened = opening(f"{crowd.host}:{crowd.port}", secure=bool(crowd.contexts))
            call = self._call = Call(opened, self._received_late if crowd.late else self._received, self._ended)
            self.answered = _NOTHING
            self._greet(call)
            try:
                await asyncio.get_running_loop().create_connection(lambda: self._wire(call), crowd.host, crowd.port)
            except OSError as error:
                call.over(f"cannot connect: {type(error).__name__}")
        if self._stopped:
            call.close()

    def _wire(self, call: Call) -> asyncio.Protocol:
        crowd = self._crowd
        if not crowd.contexts:
            return PlainWire(call)
        return SecureWire(call, crowd.contexts[self.number % crowd.classes], crowd.host)

    def interrupt(self) -> None:
        """Lose the connection, as if a network had."""
        if self._call is not None and self._call.goes_on:
            self._call.close()
            self._come_back()

    def stop(self) -> None:
        """Leave, for good."""
        self._stopped = True
        if self._call is not None:
            self._call.close()

    def _holds(self, kind: str) -> Held:
        return self.held.get(kind, EMPTY)

    def _greet(self, call: Call) -> None:
        clusters, listeners = (hello(kind, self._holds(kind), _NOTHING) for kind in WILDCARDS)
        call.send(self._node + extensions() + clusters, listeners)
        for kind in WILDCARDS:
            if names := self._holds(kind).named:
                call.send(hello(FOLLOWED[kind], self._holds(FOLLOWED[kind]), names))

    def _received_late(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self._crowd.late, self._received, data)

    def _received(self, data: bytes) -> None:
        call = self._call
        if call is None or not call.goes_on:
            return
        message = message_of(data)
        kind = message.kind
        wanted = self._holds(NAMED_BY[kind]).named if kind in NAMED_BY else None
        after, new, lost = self._holds(kind).after(message, wanted)
        self.held[kind] = after
        if new or lost:
            followed = FOLLOWED[kind]
            if lost:
                self.held[followed] = self._holds(followed).without(followed, lost)
            call.send(message.ack, interest(followed, new, lost))
        else:
            call.send(message.ack)
        if kind not in self.answered:
            self.answered |= {kind}
            self._tries = 0
        self.last = time.monotonic()
        if not self.frames:
            self.first = self.last
            self._crowd.reached += 1
        self.frames += 1
        self.bytes += len(data)
        self._crowd.came.set()

    def _ended(self, reason: str) -> None:
        self._crowd.ends[reason] = self._crowd.ends.get(reason, 0) + 1
        if not self._stopped:
            self._come_back()

    def _come_back(self) -> None:
        longest = min(self._crowd.longest_pause, FIRST_PAUSE * 2**self._tries)
        self._tries = min(self._tries + 1, 10)
        asyncio.get_running_loop().call_later(self._crowd.draw.uniform(0, longest), self._again)

    def _again(self) -> None:
        if not self._stopped:
            task = asyncio.ensure_future(self.connect())
            _connecting.add(task)
            task.add_done_callback(_connecting.discard)


_connecting: set[asyncio.Future[None]] = set()
_interests: dict[tuple[str, frozenset[str], frozenset[str]], bytes] = {}
_REMEMBERED = 1024


def hello(kind: str, held: Held, names: frozenset[str]) -> bytes:
    """The first request of a type on a stream: names, and the versions that are held already."""
    if held.hello is not None and held.hello[0] == names and held.resources:
        return held.hello[1]
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=kind, resource_names_subscribe=sorted(names))
    for name, one in held.resources.items():
        request.initial_resource_versions[name] = one.version
    made: bytes = request.SerializeToString()
    if held.resources:
        held.hello = (names, made)
    return made


def interest(kind: str, new: frozenset[str], lost: frozenset[str]) -> bytes:
    """More names, and names that are of no interest any more."""
    known = _interests.get((kind, new, lost))
    if known is None:
        if len(_interests) >= _REMEMBERED:
            _interests.clear()
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=kind, resource_names_subscribe=sorted(new), resource_names_unsubscribe=sorted(lost)
        )
        known = _interests[kind, new, lost] = request.SerializeToString()
    return known


KINDS = (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE)
