"""Where a VirtualService sends traffic to: every destination, with its place in the document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from galley.core.analysis.reading import mapping, mappings, text

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class RouteDestination:
    """One destination; `place` is where it stands in the document."""

    destination: Mapping[str, Any]
    place: Place
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """The host that it names."""
        return text(self.destination, "host")

    @property
    def subset(self) -> str:
        """The subset that it names; empty without one."""
        return text(self.destination, "subset")

    @property
    def host_path(self) -> str:
        """The path of the host."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*self.place, "host"))[1:]


def destinations(spec: Mapping[str, Any]) -> Iterator[RouteDestination]:
    """Destinations of TCP, TLS and HTTP routes, then those of mirrors."""
    for protocol in ("tcp", "tls", "http"):
        for index, rule in mappings(spec, protocol):
            for at, route in mappings(rule, "route"):
                place = ("spec", protocol, index, "route", at, "destination")
                yield RouteDestination(mapping(route, "destination"), place)
    for index, rule in mappings(spec, "http"):
        if isinstance(rule.get("mirror"), Mapping):
            yield RouteDestination(mapping(rule, "mirror"), ("spec", "http", index, "mirror"), True)
        for at, mirror in mappings(rule, "mirrors"):
            place = ("spec", "http", index, "mirrors", at, "destination")
            yield RouteDestination(mapping(mirror, "destination"), place, True)
