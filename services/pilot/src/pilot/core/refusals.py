"""From what an Envoy refused back to the config objects that made it. Pure.

Envoy says in words what it refuses: usually the name of the resource, sometimes the path of a field
(`VirtualHosts[2]`), sometimes only a host or a domain. What the words narrow down is blamed; what they leave open is
blamed whole, so an object that is at fault is always among those that are named.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from meshcore.xds import registry
from meshcore.xds.channel import Channel
from meshcore.xds.nack import mentions, refused_names
from meshcore.xds.origin import ConfigRef, Origins, distinct, origins_in
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import LISTENER_TYPE, ROUTE_TYPE, SHORT_NAMES

MESSAGE_LIMIT = 1000
"""Characters of an Envoy's words that are kept; some repeat the whole resource."""
EXAMPLES = 5
"""Proxies that are named where many refuse the same."""
_INDEX = re.compile(r"\b(VirtualHosts|Routes|FilterChains)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Blame:
    """The refused resources that the words mean, sorted, and the objects that made what is refused of them."""

    resources: tuple[str, ...]
    configs: Origins


def blame_of(channel: Channel) -> Blame | None:
    """Who is to blame for what a client refuses of one type now; None when it refuses nothing."""
    if channel.rejection is None:
        return None
    held = (channel.held.get(name) for name in sorted(channel.rejected_names))
    refused = tuple(resource for resource in held if resource is not None and resource.exists)
    return blamed(channel.rejection.message, refused)


@lru_cache(maxsize=256)
def blamed(message: str, refused: tuple[PackedResource, ...]) -> Blame:
    """Who is to blame for a NACK with these words of a message with these resources.

    Remembered: the streams of a class refuse the same in the same words.
    """
    named = refused_names(message, (item.name for item in refused))
    meant = tuple(item for item in refused if item.name in named)
    found = distinct(origin for item in meant for origin in _within(message, item))
    return Blame(tuple(item.name for item in meant), found)


def _within(message: str, resource: PackedResource) -> Origins:
    """The makers of the part of a resource that the words mean; of all of it when they mean no part."""
    parts: tuple[Any, ...] = ()
    if resource.type_url == ROUTE_TYPE:
        parts = tuple(_hosts(message, registry.parse(resource.type_url, resource.body).virtual_hosts))
    elif resource.type_url == LISTENER_TYPE:
        chains = registry.parse(resource.type_url, resource.body).filter_chains
        parts = tuple(
            chains[number] for what, number in _indexes(message) if what == "FilterChains" and number < len(chains)
        )
    made = distinct(origin for part in parts for origin in origins_in(part.metadata))
    if not made:
        return resource.origins
    known = {origin.unversioned: origin for origin in resource.origins}
    # A patch may have changed any part, and parts do not tell.
    patches = [origin for origin in resource.origins if origin.kind == "EnvoyFilter"]
    return distinct((*patches, *(known.get(origin.unversioned, origin) for origin in made)))


def _hosts(message: str, hosts: Any) -> Iterator[Any]:
    """The routes that are meant, else the virtual hosts."""
    indexes = _indexes(message)
    named = [hosts[number] for what, number in indexes if what == "VirtualHosts" and number < len(hosts)]
    named = named or [
        host for host in hosts if any(mentions(message, text) for text in (host.name, *host.domains) if text != "*")
    ]
    inner = [number for what, number in indexes if what == "Routes"]
    for host in named:
        routes = [host.routes[number] for number in inner if number < len(host.routes)]
        yield from [route for route in routes if origins_in(route.metadata)] or [host]


def _indexes(message: str) -> list[tuple[str, int]]:
    return [(what, int(number)) for what, number in _INDEX.findall(message)]


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """What proxies refuse of one object: one line for each type of resource and wording."""

    config: ConfigRef
    type: str
    resources: tuple[str, ...]
    message: str
    count: int
    proxies: tuple[str, ...]
    """The first few of them, sorted."""


def refusals(channels: Iterable[tuple[str, Mapping[str, Channel]]]) -> tuple[Refused, ...]:
    """Everything that is refused now, by object; `channels` are (proxy, channels by type)."""
    who: dict[tuple[ConfigRef, str, tuple[str, ...], str], list[str]] = {}
    for proxy, of_stream in channels:
        for type_url, channel in of_stream.items():
            blame = blame_of(channel)
            if blame is None or channel.rejection is None:
                continue
            for config in blame.configs:
                said = shortened(channel.rejection.message)
                key = (config, SHORT_NAMES.get(type_url, type_url), blame.resources[:EXAMPLES], said)
                who.setdefault(key, []).append(proxy)
    return tuple(sorted(Refused(*key, len(proxies), tuple(sorted(proxies)[:EXAMPLES])) for key, proxies in who.items()))


def shortened(message: str) -> str:
    """An Envoy's words in one line of bounded length."""
    return " ".join(message.split())[:MESSAGE_LIMIT]
