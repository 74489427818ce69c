"""The streams of one process by the class of proxies whose config decides what they may have. Pure."""

from collections.abc import Iterator, Mapping

from pilot.core.proxy import Proxy, ProxyClass, classify
from pilot.core.selection import Selection
from pilot.core.stream import Stream


class Membership:
    """Who is of which class (`Stream.of_class`; None: streams that nothing is compiled for)."""

    def __init__(self) -> None:
        self._streams: dict[ProxyClass | None, dict[int, Stream]] = {}
        self._same: dict[ProxyClass, ProxyClass] = {}

    def class_of(self, proxy: Proxy, selection: Selection) -> ProxyClass:
        """The class of a proxy: one object for all that are of the same, so that it is found without comparing."""
        found = classify(proxy, selection)
        return self._same.get(found, found)

    def join(self, stream: Stream) -> None:
        """The stream is of its class from now on."""
        one = stream.of_class
        if one is not None:
            self._same.setdefault(one, one)
        self._streams.setdefault(one, {})[stream.number] = stream

    def leave(self, stream: Stream) -> bool:
        """The stream is of its class no more; whether nobody is."""
        one = stream.of_class
        left = self._streams[one]
        left.pop(stream.number, None)
        if left:
            return False
        del self._streams[one]
        if one is not None:
            del self._same[one]
        return True

    def of(self, one: ProxyClass | None) -> Mapping[int, Stream]:
        """The streams of a class, the oldest first."""
        return self._streams[one]

    def compiled_for(self) -> Iterator[tuple[ProxyClass, list[Stream]]]:
        """Classes with those of their streams that are given what is compiled for them."""
        for one, streams in self._streams.items():
            if one is not None and (found := [stream for stream in streams.values() if stream.proxy_class is one]):
                yield one, found
