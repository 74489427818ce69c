"""Addresses that are given to ServiceEntries without one, so that captured DNS can answer for their hosts. Pure.

As Istio: one of 240.240.0.0/16 and one of 2001:2::/48, not for resolution NONE, wildcards that nobody looks up, or
entries that a label keeps out. They are stored nowhere: every Pilot computes the same ones. Each host has a slot of its
own by its name; of two with the same slot the older keeps it, so an entry that comes never takes another's address, and
one that goes can only move a younger one with which it shared a slot.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pilot.core.registry.service import Service, ServiceKey

NETWORK, NETWORK_V6 = IPv4Network("240.240.0.0/16"), IPv6Network("2001:2::/48")
_FIRST, _SIZE = int(NETWORK.network_address) + 1, NETWORK.num_addresses - 2
_FIRST_V6 = int(NETWORK_V6.network_address) + 1


def give_addresses(services: Iterable[Service]) -> Mapping[ServiceKey, tuple[str, str]]:
    """The addresses (IPv4, IPv6) of each service that wants some; nobody gets any once the network is full."""
    taken: dict[int, ServiceKey] = {}
    for service in sorted((item for item in services if item.wants_address), key=lambda item: (item.age, item.host)):
        if len(taken) == _SIZE:
            break
        text = f"{service.namespace}/{service.name}/{service.host}"
        slot = int.from_bytes(sha256(text.encode()).digest()[:8]) % _SIZE
        while slot in taken:
            slot = (slot + 1) % _SIZE
        taken[slot] = service.key
    return {key: (str(IPv4Address(_FIRST + slot)), str(IPv6Address(_FIRST_V6 + slot))) for slot, key in taken.items()}
