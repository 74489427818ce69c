"""Which config objects made a resource: in its metadata, which Envoy keeps and shows, and beside its bytes. Pure.

In metadata they stand under `meshcore`: `{"config": ["VirtualService/shop/reviews@12", "Service/shop/reviews"]}`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Self

from meshcore.xds import wire
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE

NAMESPACE = "meshcore"
KEY = "config"
METADATA_FIELDS: Mapping[str, int] = {CLUSTER_TYPE: 25, LISTENER_TYPE: 6}
"""Field numbers of `metadata` in the resources that have one of their own."""
VIRTUAL_HOST_METADATA = 24


class ConfigRef(NamedTuple):
    """One config object at the revision that last changed what it makes; revision 0 is that of a file."""

    kind: str
    namespace: str
    name: str
    revision: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives; ValueError for anything else."""
        path, _, revision = text.partition("@")
        kind, namespace, name = path.split("/")
        return cls(kind, namespace, name, int(revision or 0))

    @property
    def unversioned(self) -> "ConfigRef":
        """The object, whatever its revision."""
        return self._replace(revision=0)

    def __str__(self) -> str:
        path = f"{self.kind}/{self.namespace}/{self.name}"
        return f"{path}@{self.revision}" if self.revision else path


Origins = tuple[ConfigRef, ...]


def distinct(origins: Iterable[ConfigRef]) -> Origins:
    """Each object once, in the order of first mention, at its newest revision."""
    found: dict[ConfigRef, ConfigRef] = {}
    for origin in origins:
        key = origin.unversioned
        found[key] = max(found.get(key, origin), origin)
    return tuple(found.values())


@lru_cache(maxsize=100_000)
def metadata_field(number: int, origins: Origins) -> bytes:
    """A field `metadata` (envoy.config.core.v3.Metadata) of that number, serialised.

    Appended to a serialised message it adds to the metadata that is there, as protobuf merges repeated fields.
    """
    values = b"".join(wire.chunk(1, wire.text(3, str(origin))) for origin in origins)
    config = wire.text(1, KEY) + wire.chunk(2, wire.chunk(6, values))
    return wire.chunk(number, wire.chunk(1, wire.text(1, NAMESPACE) + wire.chunk(2, wire.chunk(1, config))))


def origins_in(metadata: Any) -> Origins:
    """The objects that a resource's metadata names; nothing for resources that somebody else made."""
    if NAMESPACE not in metadata.filter_metadata:
        return ()
    listed = metadata.filter_metadata[NAMESPACE].fields[KEY].list_value.values
    return tuple(ConfigRef.parse(value.string_value) for value in listed)
