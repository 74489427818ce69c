"""What streams begin with, read and compared once for all that begin with the same. Pure.

A client that comes back names all that it wants and the version of all that it holds: hundreds of kilobytes, the same
for the members of a class, and thousands of clients come back together. Their requests are found by their bytes; those
of Envoys, which list versions in an order of each one's own, by what they say. All of it is bounded, and forgotten when
nobody is coming.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol
from weakref import WeakValueDictionary

from meshcore.xds.request import Request, Wish
from meshcore.xds.resource import PackedResource, Resources
from meshcore.xds.subscription import Subscription

SMALL = 1024
"""Bytes of a request below which it is read faster than looked up."""
_PER_NAME = 128
_PER_VERSION = 384
"""Bytes of memory besides those that came: names with their text, and versions both by name and in the message."""
_ALIKE = 8
"""Requests of one length that another one is compared with."""
_MOST_HELD = 96 << 20
"""Bytes of what clients hold that is remembered together, about."""
_HOLDINGS = 512
_FEW = 32


class Reader(Protocol):
    """A protocol variant, as far as it reads."""

    NAME: str
    NODE_TAG: int
    """Of the field `node`, with which a stream's first request begins."""

    def parse(self, data: bytes) -> tuple[Request, Any]:
        """A request, and the `Node` message in it."""

    def decode(self, data: bytes) -> Any:
        """The message."""

    def request_of(self, message: Any) -> Request:
        """What it asks."""

    def first_wish(self, request: Request) -> Wish:
        """What the first request of a type asks for."""


@dataclass(slots=True, eq=False)
class _Read:
    message: Any
    """None where nothing in it may come in another order."""
    request: Request
    cost: int
    """Bytes, about."""
    wish: Wish | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    versions: Mapping[str, str]
    target: Resources
    made: Resources
    cost: int
    """Bytes, about."""


class Openings:
    """`budget` bounds the bytes that remembered requests take; those of less than `small` bytes are read each time."""

    def __init__(self, budget: int = 32 << 20, small: int = SMALL) -> None:
        self._budget = budget
        self._small = small
        self._used = 0
        self._subscriptions: WeakValueDictionary[int, Subscription] = WeakValueDictionary()
        """By hash: those that somebody has."""
        self._read: OrderedDict[tuple[str, bytes], _Read] = OrderedDict()
        self._of_request: dict[int, _Read] = {}
        self._of_length: dict[tuple[str, str, int], deque[_Read]] = {}
        self._holdings: OrderedDict[tuple[object, ...], _Held] = OrderedDict()
        self._held = 0

    def forget(self) -> None:
        """Nobody is coming: what those who came have in common they keep alive themselves."""
        self._read.clear()
        self._of_request.clear()
        self._of_length.clear()
        self._holdings.clear()
        self._used = self._held = 0

    def read(self, reader: Reader, data: bytes) -> tuple[Request, Any]:
        """Read a request; with it the `Node` message, which is empty except in a stream's first request. The same
        request is the same object for everybody who says it."""
        if len(data) < self._small:
            return reader.parse(data)
        end = _end_of_node(reader.NODE_TAG, data)
        if len(data) - end < self._small:
            return reader.parse(data)
        key = (reader.NAME, data[end:])
        known = self._read.get(key)
        if known is None:
            message = reader.decode(key[1])
            if message.HasField("node"):
                # Fields may come in any order, though nobody is known to send them so.
                return reader.parse(data)
            known = self._found(reader, message, key) or self._remembered(reader, message, key)
        else:
            self._read.move_to_end(key)
        return known.request, reader.decode(data[:end]).node

    def _found(self, reader: Reader, message: Any, key: tuple[str, bytes]) -> _Read | None:
        """The request that says the same, if versions came in another order."""
        for known in self._of_length.get((reader.NAME, message.type_url, len(key[1])), ()):
            if known.message == message:
                return known
        return None

    def _remembered(self, reader: Reader, message: Any, key: tuple[str, bytes]) -> _Read:
        request = reader.request_of(message)
        made = _Read(message if request.initial_versions else None, request, _cost(request, len(key[1])))
        if made.cost > self._budget // 4:
            return made
        self._read[key] = self._of_request[id(request)] = made
        if made.message is not None:
            alike = self._of_length.setdefault((key[0], request.type_url, len(key[1])), deque(maxlen=_ALIKE))
            alike.append(made)
        self._used += made.cost
        while self._used > self._budget:
            self._forget_oldest()
        return made

    def _forget_oldest(self) -> None:
        (name, data), old = self._read.popitem(last=False)
        self._used -= old.cost
        del self._of_request[id(old.request)]
        place = (name, old.request.type_url, len(data))
        alike = self._of_length.get(place)
        if alike is not None and old in alike:
            alike.remove(old)
            if not alike:
                del self._of_length[place]

    def first_wish(self, reader: Reader, request: Request) -> Wish:
        """What the first request of a type on a stream asks for."""
        known = self._of_request.get(id(request))
        if known is None:
            return reader.first_wish(request)
        if known.wish is None:
            wish = reader.first_wish(request)
            known.wish = replace(wish, subscription=self.shared_subscription(wish.subscription))
        return known.wish

    def shared_subscription(self, subscription: Subscription) -> Subscription:
        """The one object for equal subscriptions: comparing a thousand names costs more than all else in a push."""
        key = hash(subscription)
        if (known := self._subscriptions.get(key)) is not None and known == subscription:
            return known
        self._subscriptions[key] = subscription
        return subscription

    def holdings(self, type_url: str, versions: Mapping[str, str], target: Resources) -> Resources:
        """What a client holds that comes with these versions, the same mapping for all that come with the same: the
        target, if it has that as it is. Of what the target has in another form nothing is known but the version."""
        # Few are compared faster than that they were worth a place; and they come as an object of each client's own.
        by_object = (type_url, id(versions), id(target)) if len(versions) > _FEW else None
        if by_object is not None and (seen := self._holdings.get(by_object)) is not None:
            return seen.made
        known = target.get
        if len(versions) == len(target) and all(
            (one := known(name)) is not None and one.version == version for name, version in versions.items()
        ):
            made = target
        else:
            by_content = (type_url, id(target), frozenset(versions.items()))
            if (seen := self._holdings.get(by_content)) is not None:
                made = seen.made
            else:
                named = {name: _holding(type_url, name, version, known(name)) for name, version in versions.items()}
                made = MappingProxyType(named)
                self._hold(by_content, versions, target, made, _PER_VERSION)
        if by_object is not None:
            # Versions and target are kept with it: their ids stay theirs.
            self._hold(by_object, versions, target, made, _PER_NAME)
        return made

    def _hold(
        self, key: tuple[object, ...], versions: Mapping[str, str], target: Resources, made: Resources, each: int
    ) -> None:
        """`each` are the bytes that an entry takes besides its text."""
        cost = each * len(versions) + sum(map(len, versions)) + sum(map(len, versions.values()))
        if cost > _MOST_HELD // 4:
            return
        self._holdings[key] = _Held(versions, target, made, cost)
        self._held += cost
        while len(self._holdings) > _HOLDINGS or self._held > _MOST_HELD:
            _, old = self._holdings.popitem(last=False)
            self._held -= old.cost


def _cost(request: Request, size: int) -> int:
    names = len(request.subscribe) + len(request.unsubscribe)
    return 2 * size + _PER_NAME * names + _PER_VERSION * len(request.initial_versions)


def _end_of_node(tag: int, data: bytes) -> int:
    """Where the rest of a request begins; 0 when that is not to be seen at once."""
    end, size = 0, len(data)
    while end < size and data[end] == tag:
        place, shift, length = end + 1, 0, 0
        while place < size and shift < 32:
            length |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not data[place - 1] & 0x80:
                break
        else:
            return 0
        end = place + length
    return end if end <= size else 0


def _holding(type_url: str, name: str, version: str, known: PackedResource | None) -> PackedResource:
    return known if known is not None and known.version == version else PackedResource(type_url, name, version, b"")
