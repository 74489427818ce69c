"""Resources as Envoy receives them: packed once, compared by version.

Pure. A compiler fills a `ResourceSet`; sessions move clients from one set to the next.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

from meshcore.xds import wire
from meshcore.xds.origin import METADATA_FIELDS, Origins, metadata_field
from meshcore.xds.types import ENDPOINT_TYPE, ROUTE_TYPE, SECRET_TYPE


@dataclass(frozen=True, order=True)
class PackedResource:
    """One resource of one version; equal when type, name and version are.

    `body` is the serialised message (the `value` of its `Any`). `version` is a hash of the content: of everything but
    the revisions of the objects that made it, so a revision that changes nothing else is not sent, and any Pilot gives
    the same content the same version. In messages the body stands last of a resource, so what comes before it is cached
    and the body is there once. An empty version stands for a name that does not exist.
    """

    type_url: str
    name: str
    version: str
    body: bytes = field(repr=False, compare=False)
    origins: Origins = field(default=(), repr=False, compare=False)
    """The config objects that made it, those first that are written into its metadata."""

    @classmethod
    def pack(
        cls,
        type_url: str,
        name: str,
        message: Any,
        origins: Origins = (),
        beside: Origins = (),
        told: bytes | None = None,
    ) -> Self:
        """Serialise `message` (a protobuf message, or bytes already in canonical form) and name its version.

        `origins` are written into the metadata of types that have it; `beside` only stand beside the bytes: objects
        that may come and go without a change of the resource. `told`: what tells this content from any other, as hashes
        of its parts, which is shorter.
        """
        body: bytes = message if isinstance(message, bytes) else message.SerializeToString(deterministic=True)
        digest = hashlib.blake2b(body if told is None else told, digest_size=8)
        if origins and (number := METADATA_FIELDS.get(type_url)) is not None:
            digest.update("".join(str(origin.unversioned) for origin in origins).encode())
            body += metadata_field(number, origins)
        return cls(type_url, name, digest.hexdigest(), body, origins + beside)

    def extended(self, fields: bytes) -> Self:
        """The same with fields of its message more, in wire form: behind all others, where they are read as well."""
        digest = hashlib.blake2b(self.version.encode(), digest_size=8)
        digest.update(fields)
        return replace(self, version=digest.hexdigest(), body=self.body + fields)

    @cached_property
    def head_in_delta(self) -> bytes:
        """What stands before `body` in one `resources` field of a DeltaDiscoveryResponse."""
        said = wire.text(3, self.name) + wire.text(1, self.version)
        packed = wire.text(1, self.type_url) + wire.head(2, len(self.body))
        told = said + wire.head(2, len(packed) + len(self.body)) + packed
        return wire.head(2, len(told) + len(self.body)) + told

    @cached_property
    def head_in_sotw(self) -> bytes:
        """What stands before `body` in one `resources` field of a DiscoveryResponse."""
        packed = wire.text(1, self.type_url) + wire.head(2, len(self.body))
        return wire.head(2, len(packed) + len(self.body)) + packed

    @property
    def exists(self) -> bool:
        """Whether this is a resource, not the record that a name has none."""
        return self.version != ""


def absent(type_url: str, name: str) -> PackedResource:
    """The record that a client was told that `name` does not exist."""
    return PackedResource(type_url, name, "", b"")


def empty_resource(type_url: str, name: str) -> PackedResource | None:
    """An endpoint or route resource with nothing but its name; None for the other types.

    State of the world cannot say "there is no such resource", and Envoy would warm for 15 s on silence.
    """
    if type_url not in (ENDPOINT_TYPE, ROUTE_TYPE):
        return None
    return PackedResource.pack(type_url, name, wire.text(1, name))


Resources = Mapping[str, PackedResource]
"""Resources of one type by name, in the order in which they are sent."""

NOTHING: Resources = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """Everything that one class of proxies is to have: by type URL, then by name.

    `diagnostics` say what of the config could not be honoured. Two sets may share the mapping of a type: sessions take
    the same mapping object as "unchanged".
    """

    resources: Mapping[str, Resources]
    diagnostics: tuple[Any, ...] = ()
    secrets: frozenset[str] = frozenset()
    """Names of secrets that the resources ask for on the same stream; they are served beside the set, never in it."""

    @classmethod
    def of(cls, packed: Iterable[PackedResource], diagnostics: Iterable[Any] = ()) -> Self:
        """Group packed resources by type, sorted by name."""
        grouped: dict[str, dict[str, PackedResource]] = {}
        for resource in sorted(packed):
            grouped.setdefault(resource.type_url, {})[resource.name] = resource
        frozen = {type_url: MappingProxyType(named) for type_url, named in grouped.items()}
        return cls(MappingProxyType(frozen), tuple(diagnostics))

    def of_type(self, type_url: str) -> Resources:
        """The resources of one type; empty when there are none."""
        return self.resources.get(type_url, NOTHING)

    def sharing(self, previous: "ResourceSet | None", steps: "Steps | None" = None) -> "ResourceSet":
        """The same set with the mappings of `previous` for every type that did not change, and in the others with its
        bytes for every resource that did not: their revisions are those that were sent. `steps`: what was found for
        other sets."""
        if previous is None or previous is self:
            return self
        kept = (steps or Steps()).kept
        merged = {
            type_url: new if (old := previous.resources.get(type_url)) is None else kept(type_url, old, new)
            for type_url, new in self.resources.items()
        }
        return ResourceSet(MappingProxyType(merged), self.diagnostics, self.secrets)

    def with_type(self, type_url: str, resources: Resources) -> "ResourceSet":
        """The same set but for all resources of one type; itself when these are what it has."""
        if resources is self.of_type(type_url):
            return self
        merged = {**self.resources, type_url: resources}
        return ResourceSet(MappingProxyType(merged), self.diagnostics, self.secrets)

    def with_secrets(self, secrets: Resources) -> "ResourceSet":
        """The set as a client that may have these secrets is to have it."""
        return ResourceSet(MappingProxyType({**self.resources, SECRET_TYPE: secrets}), self.diagnostics, self.secrets)


def replaced(old: Resources, resources: Resources) -> Resources:
    """`old` with these resources, all of which it has in another form or in this one; itself when none changes."""
    new = {name: _as_sent(old.get(name), resource) for name, resource in resources.items()}
    if all(old.get(name) is resource for name, resource in new.items()):
        return old
    return MappingProxyType({**old, **new})


class Steps:
    """From which mapping of a type to which one a set went last, and what it shares: sets that have the same mapping
    before and after are compared once."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Resources, Resources, Resources]] = {}

    def kept(self, type_url: str, old: Resources, new: Resources) -> Resources:
        """`new`, or `old` when it says the same, or `new` with what is said in `old`."""
        last = self._last.get(type_url)
        if last is None or last[0] is not old or last[1] is not new:
            last = self._last[type_url] = (old, new, _kept(old, new))
        return last[2]


def _kept(old: Resources, new: Resources) -> Resources:
    if old is new:
        return old
    others = {name: resource for name, resource in new.items() if old.get(name) is not resource}
    sent = {name: _as_sent(old.get(name), resource) for name, resource in others.items()}
    if len(old) == len(new) and all(old.get(name) is resource for name, resource in sent.items()):
        return old
    # One mapping may be that of many classes.
    return new if all(new[name] is resource for name, resource in sent.items()) else MappingProxyType({**new, **sent})


def _as_sent(old: PackedResource | None, new: PackedResource) -> PackedResource:
    if old is None or old is new or old.version != new.version:
        return new
    return old if old.origins == new.origins else replace(old, origins=new.origins)


EMPTY = ResourceSet(MappingProxyType({}))
"""What a proxy has before its first compile."""
