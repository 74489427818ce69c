"""Whether two filter chains of a listener match the same connections, which Envoy refuses. Pure."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

_ANY = ("",)


def overlapping(chains: Iterable[Any]) -> bool:
    """Compared as Envoy does: criterion by criterion, each single value of a list for itself."""
    taken: set[tuple[object, ...]] = set()
    for chain in chains:
        own = set(_combinations(chain.filter_chain_match))
        if not taken.isdisjoint(own):
            return True
        taken |= own
    return False


def _combinations(match: Any) -> Iterator[tuple[object, ...]]:
    return product(
        (match.destination_port.value,),
        _ranges(match.prefix_ranges),
        match.server_names or _ANY,
        (match.transport_protocol,),
        match.application_protocols or _ANY,
        _ranges(match.direct_source_prefix_ranges),
        (match.source_type,),
        _ranges(match.source_prefix_ranges),
        match.source_ports or _ANY,
    )


def _ranges(ranges: Any) -> tuple[object, ...]:
    return tuple((item.address_prefix, item.prefix_len.value) for item in ranges) or _ANY
