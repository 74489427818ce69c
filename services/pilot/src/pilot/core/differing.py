"""Which entries of a mapping are others than in another. Pure."""

from collections.abc import Mapping
from itertools import compress
from operator import is_not
from typing import Any, TypeVar

K = TypeVar("K")


def differing(before: Mapping[K, Any], after: Mapping[K, Any]) -> frozenset[K]:
    """The keys that only one of the two has, or under which the other has another object (None is none). It is asked at
    each change, of as many entries as a mesh has services or addresses: so no step of it is Python's own."""
    changed = compress(after, map(is_not, map(before.get, after), after.values()))
    return frozenset(changed) | (before.keys() - after.keys())
