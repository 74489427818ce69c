"""Memos of compiled parts, keyed by all of their inputs. Pure: a memo changes how long a compile takes, never its
result.

Large frozen inputs (a service, a rule, a tuple of endpoints) are compared by identity: a snapshot keeps what did not
change, so the same object means the same input, and an equal but new object costs one more build. A key holds its
inputs alive, so an identity cannot be reused while the memo stands.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

DEFAULT_CAPACITY = 200_000
"""Memos kept before the least recently used ones go."""


class Same:
    """Stands for an object in a key: equal only to itself."""

    __slots__ = ("item",)

    def __init__(self, item: object) -> None:
        self.item = item

    def __hash__(self) -> int:
        return id(self.item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.item is other.item

    def __repr__(self) -> str:
        return f"Same({type(self.item).__name__})"


def same(*items: object) -> tuple[Same, ...]:
    """A key of several objects by identity."""
    return tuple(Same(item) for item in items)


class CompileCache:
    """What was built before, for one process; not thread-safe. `hits` and `misses` count since the start."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._memos: OrderedDict[Hashable, Any] = OrderedDict()
        self._capacity = capacity
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._memos)

    def memo(self, key: Hashable, build: Callable[[], T]) -> T:
        """The result of `build`, which must depend on nothing but what `key` holds."""
        try:
            found: T = self._memos[key]
        except KeyError:
            self.misses += 1
            made = build()
            self._memos[key] = made
            if len(self._memos) > self._capacity:
                self._memos.popitem(last=False)
            return made
        self.hits += 1
        self._memos.move_to_end(key)
        return found
