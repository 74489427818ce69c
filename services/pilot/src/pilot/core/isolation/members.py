"""What the streams of one class tell of a resource that one of them refuses. Pure.

A part that any of them has taken is no fault of the config's. Nor is a resource: what one client refuses and another
takes is that client's own trouble (an address that is taken there, say), and nobody else is to be given less for it.
"""

from collections.abc import Iterable, Sequence

from meshcore.xds.channel import Channel
from meshcore.xds.resource import PackedResource

from pilot.core.isolation.parts import Part, parts_of

WITNESSES = 64
"""Other streams of a class that are asked: when thousands refuse, each asks as many."""


def is_contested(resource: PackedResource, others: Iterable[Channel]) -> bool:
    """Whether another client has taken this version, or has yet to answer it."""
    return any(_has(channel, resource) or _is_asked(channel, resource) for channel in others)


def innocent(channels: Iterable[Channel], name: str) -> frozenset[Part]:
    """The parts of the resource as some client has taken it."""
    known = {one.version: one for channel in channels if (one := channel.taken.get(name)) is not None and one.body}
    return frozenset(part for one in known.values() for part in parts_of(one))


def last_good(channels: Sequence[Channel], name: str) -> dict[str, bytes]:
    """By part, the last form that the first of the clients has taken, else another."""
    found = (channel.taken.get(name) for channel in channels)
    first = next((one for one in found if one is not None and one.body), None)
    return {part.key: part.content for part in parts_of(first)} if first is not None else {}


def _has(channel: Channel, resource: PackedResource) -> bool:
    found = channel.taken.get(resource.name)
    return found is not None and found.version == resource.version


def _is_asked(channel: Channel, resource: PackedResource) -> bool:
    held = channel.held.get(resource.name)
    flight = channel.flight
    return (
        flight is not None and resource.name in flight.names and held is not None and held.version == resource.version
    )
