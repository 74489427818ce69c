"""What clients say of what they were given, brought to the isolation of the parts that they refuse. Pure."""

from collections.abc import Iterable
from itertools import islice
from types import MappingProxyType

from meshcore.xds.channel import Channel
from meshcore.xds.nack import refused_names
from meshcore.xds.resource import ResourceSet

from pilot.core.class_configs import ClassConfigs
from pilot.core.isolation import HeldBack, Isolation
from pilot.core.isolation.members import WITNESSES, is_contested
from pilot.core.membership import Membership
from pilot.core.proxy import ProxyClass
from pilot.core.stream import Stream


class Verdicts:
    """A stream speaks for its class, and others of it are heard beside it. Agents and observers have no say."""

    def __init__(self, isolation: Isolation, configs: ClassConfigs, members: Membership) -> None:
        self._isolation = isolation
        self._configs = configs
        self._members = members

    def refused(self, stream: Stream, type_url: str, names: Iterable[str], words: str) -> bool:
        """A client refuses resources of a message, in these words; True when its class is to have something else."""
        one = stream.proxy_class
        made = self._configs.last_made(one) if one is not None else None
        if one is None or made is None:
            return False
        channels = self._channels(one, type_url, stream)
        held = channels[0].held
        named = (held[name] for name in sorted(refused_names(words, names)) if name in held)
        refused = [
            resource
            for resource in named
            if resource.exists
            and not stream.has_unknown(type_url, resource.name)
            and not is_contested(resource, channels[1:])
        ]
        return self._isolation.refused(one, words, refused, made, channels)

    def taken(self, stream: Stream, type_url: str) -> bool:
        """A client has taken a message of this type; as `refused`."""
        one = stream.proxy_class
        watched = self._isolation.watched(one, type_url) if one is not None else ()
        if one is None or not watched:
            return False
        held, refused = stream.session.channels[type_url].held, stream.session.channels[type_url].rejected_names
        taken = [held[name] for name in watched if name in held and name not in refused and held[name].body]
        return self._isolation.taken(one, taken)

    def held_back(self, stream: Stream) -> tuple[HeldBack, ...]:
        """What a stream has in another form than was compiled."""
        one = stream.proxy_class
        found = self._isolation.held_back(one) if one is not None else ()
        return tuple(held for held in found if not stream.has_unknown(held.type_url, held.resource))

    def as_it_was(self, stream: Stream, made: ResourceSet) -> ResourceSet:
        """What a client has had since before this process is not replaced by the stand-in of a part: it has better."""
        one = stream.proxy_class
        places = self._isolation.guessed(one) if one is not None else ()
        for type_url, name in places:
            last = self._configs.last_made(one) if one is not None else None
            if last is not None and stream.has_unknown(type_url, name):
                named = {**made.of_type(type_url), name: last.of_type(type_url)[name]}
                resources = {**made.resources, type_url: MappingProxyType(named)}
                made = ResourceSet(MappingProxyType(resources), made.diagnostics, made.secrets)
        return made

    def _channels(self, one: ProxyClass, type_url: str, first: Stream) -> list[Channel]:
        """That of a stream, and of some others of its class that ask for the type."""
        others = (other for other in self._members.of(one).values() if other is not first)
        found = (other.session.channels.get(type_url) for other in (first, *islice(others, WITNESSES)))
        return [channel for channel in found if channel is not None]
