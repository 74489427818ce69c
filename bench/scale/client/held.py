"""What proxies hold: an immutable set of resources of one type, kept once for all proxies that hold the same."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from weakref import WeakValueDictionary, ref

from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds.references import references
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

FOLLOWED = {CLUSTER_TYPE: ENDPOINT_TYPE, LISTENER_TYPE: ROUTE_TYPE}
"""Which type is subscribed to by the names that resources of a type mention."""
NAMED_BY = {followed: kind for kind, followed in FOLLOWED.items()}
_MOST_REMEMBERED = 256 << 20
_OVERHEAD = 4096
"""Bytes of messages, and about what else is kept of one."""
_EDGE = 64
_NOTHING: frozenset[str] = frozenset()


class Resource(NamedTuple):
    """One resource: its version, a digest of name and version (bytes may say more than a version: where config came
    from), and the names that it mentions."""

    version: str
    digest: int
    named: frozenset[str]


class Message:
    """A response as it came, read once."""

    __slots__ = ("ack", "came", "gone", "kind")

    def __init__(self, data: bytes) -> None:
        response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        self.kind: str = response.type_url
        self.came = {one.name: _resource(self.kind, one) for one in response.resources}
        self.gone = tuple(response.removed_resources)
        self.ack = discovery_pb2.DeltaDiscoveryRequest(
            type_url=self.kind, response_nonce=response.nonce
        ).SerializeToString()


def _resource(kind: str, one: discovery_pb2.Resource) -> Resource:
    body = one.resource.value
    digest = int.from_bytes(blake2b(f"{one.name}\0{one.version}".encode(), digest_size=8).digest())
    return Resource(one.version, digest, _named(kind, body) if kind in FOLLOWED else _NOTHING)


@lru_cache(maxsize=50_000)
def _named(kind: str, body: bytes) -> frozenset[str]:
    if kind == CLUSTER_TYPE:
        cluster = cluster_pb2.Cluster.FromString(body)
        eds = cluster.type == cluster.EDS
        return frozenset({cluster.eds_cluster_config.service_name or cluster.name}) if eds else _NOTHING
    found = references(PackedResource(kind, "", "", body))
    return frozenset(name for to, name in found if to == FOLLOWED[kind])


_messages: dict[tuple[int, bytes, bytes], list[tuple[bytes, Message]]] = {}
_remembered = 0


def message_of(data: bytes) -> Message:
    """The message; the same object for the same bytes, as long as not too much else came in between.

    Bytes are compared, which takes a tenth of the time of a digest: a large message comes a thousand times.
    """
    global _remembered
    alike = _messages.setdefault((len(data), data[:_EDGE], data[-_EDGE:]), [])
    for known, message in alike:
        if known == data:
            return message
    if _remembered + len(data) > _MOST_REMEMBERED:
        _messages.clear()
        _remembered = 0
        alike = _messages.setdefault((len(data), data[:_EDGE], data[-_EDGE:]), [])
    _remembered += len(data) + _OVERHEAD
    fresh = Message(data)
    alike.append((data, fresh))
    return fresh


class Step(NamedTuple):
    """What a message made of what was held: names of the followed type that are new, and that nobody mentions now."""

    after: Held
    new: frozenset[str]
    lost: frozenset[str]


class Held:
    """Resources of one type by name; `digest` is the same for the same resources, in every process."""

    __slots__ = ("__weakref__", "_last_step", "_last_without", "_named", "digest", "hello", "resources")

    def __init__(self, resources: dict[str, Resource], digest: int) -> None:
        self.resources = resources
        self.digest = digest
        self.hello: tuple[frozenset[str], bytes] | None = None
        """The first request of a stream for this, with the names that it asks for."""
        self._named: frozenset[str] | None = None
        self._last_step: _LastStep | None = None
        self._last_without: tuple[frozenset[str], ref[Held]] | None = None

    @property
    def named(self) -> frozenset[str]:
        """All names that the resources mention."""
        if self._named is None:
            self._named = _NOTHING.union(*(one.named for one in self.resources.values()))
        return self._named

    def after(self, message: Message, wanted: frozenset[str] | None) -> Step:
        """What is held after a message; worked out once for all proxies that take the same step.

        `wanted` are the names that are subscribed to (None: all). As in Envoy, what comes unasked is dropped: an answer
        may cross the request that takes a name out of the subscription.
        """
        last = self._last_step
        if last is not None and last[0] is message and last[1] is wanted and (known := last[2]()) is not None:
            return Step(known, last[3], last[4])
        came = message.came
        if wanted is not None and not came.keys() <= wanted:
            came = {name: one for name, one in came.items() if name in wanted}
        after = self._changed(message.kind, came, message.gone)
        new = lost = _NOTHING
        if message.kind in FOLLOWED:
            new, lost = after.named - self.named, self.named - after.named
        self._last_step = (message, wanted, ref(after), new, lost)
        return Step(after, new, lost)

    def without(self, kind: str, names: frozenset[str]) -> Held:
        """What is held when nobody is interested in some names any more."""
        last = self._last_without
        if last is not None and last[0] == names and (known := last[1]()) is not None:
            return known
        after = self._changed(kind, {}, tuple(names))
        self._last_without = (names, ref(after))
        return after

    def _changed(self, kind: str, came: dict[str, Resource], gone: tuple[str, ...]) -> Held:
        digest = self.digest
        for name, one in came.items():
            before = self.resources.get(name)
            digest ^= one.digest if before is None else before.digest ^ one.digest
        for name in gone:
            if name not in came and (before := self.resources.get(name)) is not None:
                digest ^= before.digest
        if digest == self.digest:
            return self
        known = _known.get((kind, digest))
        if known is None:
            after = self.resources | came
            for name in gone:
                if name not in came:
                    after.pop(name, None)
            known = _known[kind, digest] = Held(after, digest)
        return known


_LastStep = tuple[Message, frozenset[str] | None, ref[Held], frozenset[str], frozenset[str]]
_known: WeakValueDictionary[tuple[str, int], Held] = WeakValueDictionary()
EMPTY = Held({}, 0)
EMPTY.hello = (_NOTHING, b"")
