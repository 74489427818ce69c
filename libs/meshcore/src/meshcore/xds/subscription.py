"""What one stream wants of one type, and how requests change that.

Wildcard rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol, "How the client specifies what
resources to return". Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from meshcore.xds.types import NAME_TABLE_TYPE, WILDCARD_TYPES

WILDCARD = "*"
_UNNAMED_MEANS_ALL = WILDCARD_TYPES | {NAME_TABLE_TYPE}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Subscription:
    """Wanted names of one type. `legacy` marks a wildcard asked for by naming nothing in the first request."""

    wildcard: bool = False
    names: frozenset[str] = frozenset()
    legacy: bool = False

    def wants(self, name: str) -> bool:
        """Whether a resource of this name is to be sent."""
        return self.wildcard or name in self.names

    @classmethod
    def first(cls, type_url: str, names: Iterable[str]) -> Self:
        """From the first request of a type on a stream: naming nothing means everything, where the type allows it."""
        wanted = frozenset(names)
        if not wanted and type_url in _UNNAMED_MEANS_ALL:
            return cls(wildcard=True, legacy=True)
        return cls(wildcard=WILDCARD in wanted, names=wanted - {WILDCARD})

    def changed(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> Self:
        """Delta: names come and go; only `*` itself starts or ends a wildcard, legacy or not."""
        add, drop = frozenset(subscribe), frozenset(unsubscribe)
        if not add and not drop:
            return self
        wildcard = (self.wildcard and WILDCARD not in drop) or WILDCARD in add
        return replace(
            self,
            wildcard=wildcard,
            names=(self.names - drop) | (add - {WILDCARD}),
            legacy=self.legacy and wildcard and WILDCARD not in add,
        )

    def replaced(self, names: Iterable[str]) -> Self:
        """State of the world: the whole list each time.

        A legacy wildcard lasts while the list stays empty; once anything was named, an empty list wants nothing.
        """
        wanted = frozenset(names)
        if self.legacy and not wanted:
            return self
        if wanted == self.names and self.wildcard == (WILDCARD in wanted):
            return self
        return type(self)(wildcard=WILDCARD in wanted, names=wanted - {WILDCARD})
