"""What one client may have at once: streams, and classes of proxies, each of which is compiled and kept. Pure.

Nearly all that makes a class is the client's word: its labels, version, locality, ports. One that makes words up would
have Pilot compile the mesh for each of them. A client is whom its proof says; without one it is where it calls from.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

from meshcore.errors import ErrorCode, MeshError

from pilot.core.stream import Stream

MOST_BURDEN = 256 << 20
"""Bytes, about, that are kept for all streams of one client of names that do not exist, and of large nodes."""
USUAL_METADATA = 64 << 10
"""Bytes of a node's metadata that are held against nobody."""
EXPANDED = 4
"""How many bytes one of a node takes here, about."""


class Tenants:
    """The clients of one process. 0 bounds nothing."""

    def __init__(self, streams: int = 0, classes: int = 0) -> None:
        self._most_streams = streams
        self._most_classes = classes
        self._open: Counter[str] = Counter()
        self._joined: dict[str, dict[int, Stream]] = {}
        self._burdens: Counter[str] = Counter()

    @contextlib.contextmanager
    def stream(self, client: str) -> Iterator[None]:
        """While a client has one more stream, which may be waiting still; RESOURCE_EXHAUSTED when it has too many."""
        if 0 < self._most_streams <= self._open[client]:
            raise _too_much(client, f"{self._most_streams} streams", "PILOT_STREAMS_PER_IDENTITY")
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def join(self, stream: Stream, *, alone: bool) -> None:
        """A stream is of a class now, the only one (`alone`) or not; RESOURCE_EXHAUSTED when its client is of too many.

        Streams whose class splits, because the mesh's config reads more of a node than before, are left alone.
        """
        client = client_of(stream.proxy.identity, stream.address)
        joined = self._joined.get(client, {})
        if alone and self._most_classes > 0:
            classes = {other.of_class for other in joined.values()} | {stream.of_class}
            if len(classes - {None}) > self._most_classes:
                what = f"proxies of {self._most_classes} kinds (labels, version, locality, ports and the like)"
                raise _too_much(client, what, "PILOT_CLASSES_PER_IDENTITY")
        self._joined.setdefault(client, joined)[stream.number] = stream

    def burdened(self, stream: Stream, burden: int) -> None:
        """So many bytes are kept for the stream that others do without; RESOURCE_EXHAUSTED when that is too much for
        its client."""
        client = client_of(stream.proxy.identity, stream.address)
        self._burdens[client] += burden - stream.burden
        grown, stream.burden = burden > stream.burden, burden
        if not self._burdens[client]:
            del self._burdens[client]
        elif grown and self._burdens[client] > MOST_BURDEN:
            most = f"{MOST_BURDEN >> 20} MiB"
            detail = f"{client} asks for more names that do not exist, or has larger nodes, than fit into {most}"
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, detail)

    def leave(self, stream: Stream) -> None:
        """The stream has ended."""
        self.burdened(stream, 0)
        client = client_of(stream.proxy.identity, stream.address)
        joined = self._joined.get(client, {})
        joined.pop(stream.number, None)
        if not joined:
            self._joined.pop(client, None)


def node_burden(stream: Stream) -> int:
    """Bytes, about, that are kept of the metadata of a stream's node beyond what is usual."""
    return EXPANDED * max(0, stream.proxy.metadata_size - USUAL_METADATA)


def client_of(identity: str, address: str) -> str:
    """Who a client is to be taken for: `address` is `host:port`."""
    return identity or address.rpartition(":")[0]


def _too_much(client: str, what: str, setting: str) -> MeshError:
    return MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"{client} has {what} already, as many as {setting} allows")
