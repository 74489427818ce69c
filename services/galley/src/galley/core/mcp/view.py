"""Everything that leaves over MCP at one moment: packed once, shared by all streams. Frozen.

An object that cannot be said in its message is left out and reported; the others are not held up by it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from google.protobuf import json_format
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2
from meshcore.distribution.keys import Key

from galley.core.mcp.kinds import KIND_OF_KEY, WIRE_KINDS, WireKind
from galley.core.storage import StoredObject

_TYPE_PREFIX = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource."""

    name: str
    """`namespace/name`."""
    version: str
    """The revision of its last change and a digest of what it says: two that differ never have the same."""
    body: bytes
    """A serialised `istio.mcp.v1alpha1.Resource`."""


@dataclass(frozen=True, slots=True)
class Collection:
    """The resources of one kind; `version` changes whenever one of them does."""

    version: str = "0"
    entries: Mapping[str, Entry] = field(default_factory=dict)


EMPTY = Collection()


@dataclass(frozen=True)
class ConfigView:
    """All collections at one revision, and the keys of objects that could not be packed, with the reason."""

    revision: int = 0
    collections: Mapping[tuple[str, str], Collection] = field(default_factory=dict)
    unpackable: Mapping[Key, str] = field(default_factory=dict)

    def of(self, kind: WireKind | None) -> Collection:
        """The collection of a kind; empty for None."""
        return EMPTY if kind is None else self.collections.get((kind.group, kind.plural), EMPTY)

    def listed(self, revision: int, objects: Iterable[StoredObject]) -> "ConfigView":
        """The view of a complete list; a collection that says the same as before keeps its version."""
        bad: dict[Key, str] = {}
        found: dict[tuple[str, str], dict[str, Entry]] = {(kind.group, kind.plural): {} for kind in WIRE_KINDS}
        for stored in objects:
            entry = _packed(stored, bad)
            if entry is not None:
                found[(stored.key.group, stored.key.plural)][entry.name] = entry
        collections = {
            place: before
            if (before := self.collections.get(place)) is not None and before.entries == entries
            else Collection(str(revision), entries)
            for place, entries in found.items()
        }
        return ConfigView(revision, collections, bad)

    def changed(self, revision: int, changes: Mapping[Key, StoredObject | None]) -> "ConfigView":
        """The view after these objects became this (None: gone); kinds that never leave are passed over."""
        bad = {key: reason for key, reason in self.unpackable.items() if key not in changes}
        touched: dict[tuple[str, str], dict[str, Entry]] = {}
        for key, stored in changes.items():
            place = (key.group, key.plural)
            if place not in KIND_OF_KEY:
                continue
            entries = touched.setdefault(place, dict(self.collections.get(place, EMPTY).entries))
            entry = None if stored is None else _packed(stored, bad)
            if entry is None:
                entries.pop(_name(key), None)
            else:
                entries[entry.name] = entry
        collections = dict(self.collections)
        for place, entries in touched.items():
            if entries != collections.get(place, EMPTY).entries:
                collections[place] = Collection(str(revision), entries)
        return ConfigView(revision, collections, bad)


def _name(key: Key) -> str:
    return f"{key.namespace}/{key.name}"


def _packed(stored: StoredObject, bad: dict[Key, str]) -> Entry | None:
    """The entry of an object; None when its kind does not leave, or (noted in `bad`) it does not fit its message."""
    kind = KIND_OF_KEY.get((stored.key.group, stored.key.plural))
    if kind is None or stored.normalised is None:
        return None
    spec = stored.normalised.get("spec") or {}
    metadata = stored.normalised.get("metadata") or {}
    resource = mcp_pb2.Resource()
    try:
        body = kind.message()
        json_format.ParseDict(spec, body, ignore_unknown_fields=True)
        resource.metadata.labels.update(metadata.get("labels") or {})
        resource.metadata.annotations.update(metadata.get("annotations") or {})
    except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
        bad[stored.key] = f"{type(error).__name__}: {error}"[:300]
        return None
    resource.metadata.name = _name(stored.key)
    resource.metadata.create_time.FromDatetime(stored.creation_timestamp)
    resource.body.type_url = _TYPE_PREFIX + body.DESCRIPTOR.full_name
    resource.body.value = body.SerializeToString(deterministic=True)
    digest = sha256(resource.SerializeToString(deterministic=True)).hexdigest()[:12]
    resource.metadata.version = f"{stored.config_revision}-{digest}"
    return Entry(resource.metadata.name, resource.metadata.version, resource.SerializeToString(deterministic=True))
