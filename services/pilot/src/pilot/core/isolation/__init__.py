"""What proxies refuse a part of goes on without that part: the rest of the port takes every change meanwhile. Pure.

Kept by class, as the streams of a class are given the same and refuse the same. Bounded: a version that was refused is
looked at once, and the search in one resource takes `MOST_ATTEMPTS` messages at most for each form of its config.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from meshcore.xds.channel import Channel
from meshcore.xds.resource import PackedResource, ResourceSet

from pilot.core.isolation.members import innocent, last_good
from pilot.core.isolation.parts import DIVIDED
from pilot.core.isolation.quarantine import Form, HeldBack, Quarantine
from pilot.core.proxy import ProxyClass

__all__ = ["Form", "HeldBack", "Isolation"]

Place = tuple[str, str]
"""Type and name of a resource."""


class Isolation:
    """The resources that are searched, or of which a part is held back, by class of proxies."""

    def __init__(self) -> None:
        self._found: dict[ProxyClass, dict[Place, Quarantine]] = {}
        self._generations: Counter[ProxyClass] = Counter()

    @property
    def active(self) -> bool:
        """Whether anything is searched or held back."""
        return bool(self._found)

    def generation(self, one: ProxyClass) -> int:
        """Grows when `applied` may give something else for the same set."""
        return self._generations.get(one, 0)

    def applied(self, one: ProxyClass, made: ResourceSet) -> ResourceSet:
        """The compiled set as the class is to have it."""
        found = self._found.get(one)
        if not found:
            return made
        changed: dict[str, dict[str, PackedResource]] = {}
        for place, quarantine in list(found.items()):
            type_url, name = place
            resource = made.of_type(type_url).get(name)
            if resource is None:
                del found[place]
                continue
            after = quarantine.applied(resource)
            if after is not resource:
                changed.setdefault(type_url, dict(made.of_type(type_url)))[name] = after
        if not changed:
            return made
        frozen: Mapping[str, Mapping[str, PackedResource]] = {
            **made.resources,
            **{type_url: MappingProxyType(named) for type_url, named in changed.items()},
        }
        return ResourceSet(MappingProxyType(dict(frozen)), made.diagnostics, made.secrets)

    def refused(
        self,
        one: ProxyClass,
        words: str,
        resources: Iterable[PackedResource],
        compiled: ResourceSet,
        channels: Sequence[Channel],
    ) -> bool:
        """A client of the class refuses these, in these words; True when the class is to have something else.

        `compiled` is what was compiled for the class last; `channels` are those of its clients, of the refusing one
        first.
        """
        found = self._found.setdefault(one, {})
        changed = False
        for resource in resources:
            place = (resource.type_url, resource.name)
            now = compiled.of_type(resource.type_url).get(resource.name)
            if resource.type_url not in DIVIDED or now is None:
                continue
            if place not in found:
                found[place] = Quarantine(last_good(channels, resource.name))
                found[place].applied(now)
            taken = innocent(channels, resource.name)
            changed = found[place].refused(resource, words, taken) or changed
        if not found:
            del self._found[one]
        return self._note(one, changed=changed)

    def taken(self, one: ProxyClass, resources: Iterable[PackedResource]) -> bool:
        """A client of the class has these; True when the class is to have something else."""
        found = self._found.get(one, {})
        changed = False
        for resource in resources:
            quarantine = found.get((resource.type_url, resource.name))
            if quarantine is not None:
                changed = quarantine.taken(resource) or changed
                if not quarantine.suspects:
                    del found[resource.type_url, resource.name]
                    changed = True
        if not found:
            self._found.pop(one, None)
        return self._note(one, changed=changed)

    def watched(self, one: ProxyClass, type_url: str) -> tuple[str, ...]:
        """Names of the resources of a type whose fate matters here."""
        return tuple(name for kind, name in self._found.get(one, ()) if kind == type_url)

    def guessed(self, one: ProxyClass) -> tuple[Place, ...]:
        """Resources with a part of which no good form is known: not for clients that have one."""
        return tuple(place for place, quarantine in self._found.get(one, {}).items() if quarantine.guesses)

    def held_back(self, one: ProxyClass) -> tuple[HeldBack, ...]:
        """What the class has in another form than was compiled."""
        found = self._found.get(one, {})
        return tuple(held for place in sorted(found) for held in found[place].held_back())

    def forget(self, one: ProxyClass) -> None:
        """Nobody is of the class any more."""
        self._found.pop(one, None)
        self._generations.pop(one, None)

    def _note(self, one: ProxyClass, *, changed: bool) -> bool:
        self._generations[one] += changed
        return changed
