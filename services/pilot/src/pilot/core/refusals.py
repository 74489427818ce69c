"""From what an Envoy refused back to the config objects that made it. Pure.

Envoy says in words what it refuses: usually the name of the resource, sometimes the path of a field
(`VirtualHosts[2]`), sometimes only a host or a domain. What the words narrow down is blamed; what they leave open is
blamed whole, so an object that is at fault is always among those that are named.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from meshcore.xds.channel import Channel
from meshcore.xds.nack import refused_names
from meshcore.xds.origin import ConfigRef, Origins, distinct, origins_in
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import ROUTE_TYPE, SHORT_NAMES

from pilot.core.isolation import HeldBack
from pilot.core.isolation.parts import DIVIDED, indexes, makers, meant, messages_of

MESSAGE_LIMIT = 1000
"""Characters of an Envoy's words that are kept; some repeat the whole resource."""
EXAMPLES = 5
"""Proxies that are named where many refuse the same."""


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
    if resource.type_url in DIVIDED:
        parts = messages_of(resource, meant(message, resource))
    if resource.type_url == ROUTE_TYPE:
        parts = tuple(_routes(message, parts))
    return makers(resource, parts)


def _routes(message: str, hosts: Iterable[Any]) -> Iterator[Any]:
    """The routes that are meant, else the virtual hosts."""
    numbers = [number for what, number in indexes(message) if what == "Routes"]
    for host in hosts:
        routes = [host.routes[number] for number in numbers if number < len(host.routes)]
        yield from [route for route in routes if origins_in(route.metadata)] or [host]


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


@dataclass(frozen=True, slots=True)
class Refusing:
    """A proxy with what its stream says and what it has in another form than was compiled."""

    proxy: str
    channels: Mapping[str, Channel]
    held_back: tuple[HeldBack, ...] = ()


def refusals(proxies: Iterable[Refusing]) -> tuple[Refused, ...]:
    """Everything that is refused now, by object."""
    who: dict[tuple[ConfigRef, str, tuple[str, ...], str], set[str]] = {}
    for one in proxies:
        for type_url, channel in one.channels.items():
            blame = blame_of(channel)
            if blame is None or channel.rejection is None:
                continue
            for config in blame.configs:
                said = shortened(channel.rejection.message)
                key = (config, SHORT_NAMES.get(type_url, type_url), blame.resources[:EXAMPLES], said)
                who.setdefault(key, set()).add(one.proxy)
        for held in one.held_back:
            for config in held.configs:
                kind = SHORT_NAMES.get(held.type_url, held.type_url)
                who.setdefault((config, kind, (held.resource,), shortened(held.words)), set()).add(one.proxy)
    return tuple(sorted(Refused(*key, len(proxies), tuple(sorted(proxies)[:EXAMPLES])) for key, proxies in who.items()))


def shortened(message: str) -> str:
    """An Envoy's words in one line of bounded length."""
    return " ".join(message.split())[:MESSAGE_LIMIT]
