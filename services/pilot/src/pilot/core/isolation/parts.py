"""The parts of a resource that stand and fall by themselves: the virtual hosts of a route configuration, the filter
chains of a listener. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2
from meshcore.xds import registry
from meshcore.xds.nack import mentions
from meshcore.xds.origin import Origins, distinct, origins_in
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import LISTENER_TYPE, ROUTE_TYPE

from pilot.core.compiler.context import Compiled
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked

DIVIDED = frozenset({LISTENER_TYPE, ROUTE_TYPE})
"""Types of resources that have parts."""
DEFAULT_CHAIN = "(default)"
_INDEX = re.compile(r"\b(VirtualHosts|Routes|FilterChains)\[(\d+)\]")


class Part(NamedTuple):
    """A part by its name (of several of one name, with its number among them) and with its serialised content."""

    key: str
    content: bytes


@lru_cache(maxsize=512)
def parts_of(resource: PackedResource) -> tuple[Part, ...]:
    """The parts in their order; none of a resource of another type."""
    if resource.type_url not in DIVIDED:
        return ()
    parsed = registry.parse(resource.type_url, resource.body)
    return tuple(Part(key, item.SerializeToString(deterministic=True)) for key, item in _items(parsed))


def meant(words: str, resource: PackedResource) -> tuple[str, ...]:
    """The keys of the parts that a client's words mean: by number, else by name or domain; none when they mean none."""
    parsed = registry.parse(resource.type_url, resource.body)
    items = list(_items(parsed))
    wanted = "FilterChains" if resource.type_url == LISTENER_TYPE else "VirtualHosts"
    numbers = [number for what, number in indexes(words) if what == wanted]
    found = [items[number][0] for number in numbers if number < len(items)]
    return tuple(found or (key for key, item in items if is_named(words, item)))


def messages_of(resource: PackedResource, keys: Iterable[str]) -> tuple[Any, ...]:
    """The parts of these keys as messages."""
    wanted = frozenset(keys)
    return tuple(item for key, item in _items(registry.parse(resource.type_url, resource.body)) if key in wanted)


def makers(resource: PackedResource, parts: Iterable[Any]) -> Origins:
    """The objects that made parts of a resource; those of all of it when the parts do not tell."""
    made = distinct(origin for part in parts for origin in origins_in(part.metadata))
    if not made:
        return resource.origins
    known = {origin.unversioned: origin for origin in resource.origins}
    # A patch may have changed any part, and parts do not tell.
    patches = [origin for origin in resource.origins if origin.kind == "EnvoyFilter"]
    return distinct((*patches, *(known.get(origin.unversioned, origin) for origin in made)))


def indexes(words: str) -> list[tuple[str, int]]:
    """The lists and places in them that words name, as `VirtualHosts[2]`."""
    return [(what, int(number)) for what, number in _INDEX.findall(words)]


def is_named(words: str, item: Any) -> bool:
    """Whether words name a part, or a domain of it."""
    domains = item.domains if isinstance(item, route_components_pb2.VirtualHost) else ()
    return any(mentions(words, text) for text in (item.name, *domains) if text != "*")


def with_parts(resource: PackedResource, instead: Mapping[str, bytes | None]) -> PackedResource:
    """The resource with other content for some of its parts; None leaves a part out."""
    parsed = registry.parse(resource.type_url, resource.body)
    kept = [(key, item, instead.get(key, b"")) for key, item in _items(parsed)]
    made = [
        (key, type(item).FromString(content) if content else item) for key, item, content in kept if content is not None
    ]
    if resource.type_url == ROUTE_TYPE:
        hosts = [item for _, item in made]
        del parsed.virtual_hosts[:]
        parsed.virtual_hosts.extend(hosts)
    else:
        chains = [item for key, item in made if key != DEFAULT_CHAIN]
        default = [item for key, item in made if key == DEFAULT_CHAIN]
        del parsed.filter_chains[:]
        parsed.filter_chains.extend(chains)
        parsed.ClearField("default_filter_chain")
        if default:
            parsed.default_filter_chain.CopyFrom(default[0])
    return repacked(Compiled(resource), parsed, ()).resource


def closed(resource: PackedResource, part: Part) -> bytes:
    """What stands in for a part of which no good form is known: whatever comes there is told no, and nothing comes to
    where it was not meant to (a host's requests to the catch-all, a chain's connections to a less strict one)."""
    if resource.type_url == ROUTE_TYPE:
        host = route_components_pb2.VirtualHost.FromString(part.content)
        shut = route_components_pb2.VirtualHost(name=host.name, domains=host.domains)
        shut.metadata.CopyFrom(host.metadata)
        route = shut.routes.add(name="refused-by-proxies")
        route.match.prefix = "/"
        route.direct_response.status = 503
        return bytes(shut.SerializeToString(deterministic=True))
    chain = listener_components_pb2.FilterChain.FromString(part.content)
    made = listener_components_pb2.FilterChain(name=chain.name, metadata=chain.metadata)
    if chain.HasField("filter_chain_match"):
        made.filter_chain_match.CopyFrom(chain.filter_chain_match)
    made.filters.add(name="envoy.filters.network.direct_response", typed_config=any_of(config_pb2.Config()))
    return bytes(made.SerializeToString(deterministic=True))


def _items(parsed: Any) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    is_listener = "filter_chains" in parsed.DESCRIPTOR.fields_by_name
    for item in parsed.filter_chains if is_listener else parsed.virtual_hosts:
        seen[item.name] = number = seen.get(item.name, 0) + 1
        yield (item.name if number == 1 else f"{item.name}#{number}"), item
    if is_listener and parsed.HasField("default_filter_chain"):
        yield DEFAULT_CHAIN, parsed.default_filter_chain
