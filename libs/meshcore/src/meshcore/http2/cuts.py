"""Large content as frames, cut once for all streams of one number that are sent the same. Pure.

A message for a thousand connections has the same frames on nearly all of them: each has opened one stream, and has
room. The frames are there as long as a stream is being sent them, and a little longer: whoever else is sent the same
meanwhile has the same ones, however slow they all are.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakValueDictionary

from meshcore.http2 import frames

CHUNK = 63 * 1024
"""Bytes of frames that are written at once, at most: a connection's output has room for them, and a little beside."""
KEPT = 8 * 1024 * 1024
"""Bytes of content that are kept cut although nobody is being sent it; what was asked for last stays."""
MOST = 64 * 1024 * 1024
"""Bytes of content that are cut at one time; what there is beyond that waits as it came. A client may open streams of
many numbers, and take nothing."""


class Chunk(NamedTuple):
    """Whole frames, and how much content is in them."""

    data: bytes
    content: int


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Cut:
    """One message, in its pieces and as frames; `size` in bytes of content."""

    pieces: Sequence[bytes]
    chunks: tuple[Chunk, ...]
    size: int


class Cuts:
    """The messages that are cut."""

    def __init__(self) -> None:
        self._there: WeakValueDictionary[tuple[int, int], Cut] = WeakValueDictionary()
        """By number of the stream and id of the message, which is no other's while it is there."""
        self._kept: OrderedDict[Cut, int] = OrderedDict()
        """Each with the turn in which it was asked for last."""
        self._size = self._turn = 0

    def of(self, number: int, pieces: Sequence[bytes]) -> Cut | None:
        """The content as it goes on a stream that has room for all of it; None when too much is cut already. The last
        piece is the message: the same object is the same content. To be held for as long as it is being sent."""
        key = (number, id(pieces[-1]))
        known = self._there.get(key)
        if known is None or known.pieces[:-1] != pieces[:-1]:
            size = sum(map(len, pieces))
            if size + sum(one.size for one in self._there.values()) > MOST:
                return None
            known = self._there[key] = Cut(pieces, tuple(_chunks(number, pieces)), size)
        self._keep(known)
        return known

    def forget_unused(self) -> None:
        """What nobody has asked for since the last call but one is kept no longer."""
        self._turn += 1
        while self._kept and next(iter(self._kept.values())) < self._turn - 1:
            self._forget_oldest()

    def _keep(self, one: Cut) -> None:
        if one not in self._kept:
            self._size += one.size
        self._kept[one] = self._turn
        self._kept.move_to_end(one)
        while self._size > KEPT:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest, _ = self._kept.popitem(last=False)
        self._size -= oldest.size


def _chunks(number: int, pieces: Sequence[bytes]) -> Iterator[Chunk]:
    content = memoryview(b"".join(pieces))
    offset = 0
    while offset < len(content):
        parts: list[bytes | memoryview] = []
        began, room = offset, CHUNK
        while offset < len(content) and room > frames.HEAD_SIZE:
            payload = content[offset : offset + min(frames.LARGEST_PAYLOAD, room - frames.HEAD_SIZE)]
            parts += (frames.head(frames.DATA, 0, number, len(payload)), payload)
            offset += len(payload)
            room -= frames.HEAD_SIZE + len(payload)
        yield Chunk(b"".join(parts), offset - began)
