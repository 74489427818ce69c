"""Memos of compiled parts, keyed by all of their inputs. Pure: a memo changes how long a compile takes, never its
result.

Large frozen inputs (a service, a rule, a tuple of endpoints) are compared by identity: a snapshot keeps what did not
change, so the same object means the same input, and an equal but new object costs one more build. A key holds its
inputs alive, so an identity cannot be reused while the memo stands.

Which way to keep something follows from its size and from whose it is (`pilot.core.compiler.context.Compilation`):

- small, and looked for again and again, by whatever class: a `memo`, of which many are kept, within a budget;
- as large as the mesh (an index of all hosts, all clusters), and the same for all classes of one key: `newest_of_all`,
  its newest form alone, from which the next one is made;
- as large, and a class's own: `newest`; where other classes may have it of the same, `newest_alike`, so that it is
  there once; `alike` alone where somebody else keeps it;
- needed until the class's next compile, whatever it is made of: `last` (`pilot.core.compiler.stages`);
- asked for more than once in one compile: `once`.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from operator import is_
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary


class Alike(Protocol):
    """What is one object for all who make it of the same."""

    @property
    def made_of(self) -> tuple[object, ...]:
        """Compared by identity."""


T = TypeVar("T")
A = TypeVar("A", bound=Alike)

DEFAULT_CAPACITY = 200_000
"""Memos kept before those go that nobody has asked for in a long time."""
DEFAULT_BUDGET = 32 << 20
"""Bytes that memos may keep alive together, as far as these are known; those of 1,000 services take a quarter of it."""
_LEAST = 512
_CHANCES = 64
"""Memos that stay although they are the oldest, because they were asked for, each time that one has to go."""
_OWNERS = 10_000
"""Owners of newest forms that are remembered, if nobody says which are gone."""


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


class _Memo:
    """What was built, its bytes, and whether it was asked for since it was last looked at: to move it with each
    question would compare its key twice."""

    __slots__ = ("made", "used", "weight")

    def __init__(self, made: Any, weight: int) -> None:
        self.made = made
        self.weight = weight
        self.used = False


class Newest(NamedTuple):
    """What was built last, and of what: `key` compared by value, `inputs` by identity."""

    key: Hashable
    inputs: tuple[object, ...]
    value: Any

    def is_of(self, key: Hashable, inputs: tuple[object, ...]) -> bool:
        """Whether it would be built the same again."""
        return len(self.inputs) == len(inputs) and all(map(is_, self.inputs, inputs)) and self.key == key


Before = Newest | None


class CompileCache:
    """What was built before, for one process; not thread-safe. `hits` and `misses` count since the start."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY, owners: int = _OWNERS, budget: int = DEFAULT_BUDGET) -> None:
        self._memos: OrderedDict[Hashable, _Memo] = OrderedDict()
        self._capacity = capacity
        self._budget = budget
        self._used = 0
        self._owners = owners
        self._newest: OrderedDict[Hashable, dict[Hashable, Newest]] = OrderedDict()
        self._alike: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._memos)

    def memo(self, key: Hashable, build: Callable[[], T]) -> T:
        """The result of `build`, which must depend on nothing but what `key` holds."""
        memo = self._memos.get(key)
        if memo is not None:
            self.hits += 1
            memo.used = True
            found: T = memo.made
            return found
        self.misses += 1
        made = build()
        self._used += (weight := _weight(made))
        if (same := self._memos.pop(key, None)) is not None:  # built on the way to itself
            self._used -= same.weight
        self._memos[key] = _Memo(made, weight)
        self._make_room()
        return made

    def _make_room(self) -> None:
        chances = _CHANCES
        while len(self._memos) > self._capacity or (self._used > self._budget and len(self._memos) > 1):
            key, oldest = self._memos.popitem(last=False)
            if oldest.used and chances:
                chances -= 1
                oldest.used = False
                self._memos[key] = oldest
            else:
                self._used -= oldest.weight

    def newest(
        self,
        owner: Hashable,
        what: Hashable,
        inputs: tuple[object, ...],
        build: Callable[[Before], T],
        key: Hashable = None,
    ) -> T:
        """The result of `build` for these inputs; of each owner and `what` the last one alone is kept.

        `build` must depend on nothing but `key` and `inputs`. It is given the one before, to make the new one of it:
        None where there is none, or one of another key.
        """
        kept = self._of(owner)
        before = kept.get(what)
        if before is not None and before.is_of(key, inputs):
            self.hits += 1
            found: T = before.value
            return found
        self.misses += 1
        made = build(before if before is not None and before.key == key else None)
        kept[what] = Newest(key, inputs, made)
        return made

    def last(self, owner: Hashable, what: Hashable) -> tuple[Any, Callable[[Any], None]]:
        """What an owner kept of `what` last (None: nothing), and how it keeps something else."""
        kept = self._of(owner)
        before = kept.get(what)

        def keep(value: Any) -> None:
            kept[what] = Newest(None, (), value)

        return None if before is None else before.value, keep

    def alike(self, what: Hashable, made_of: tuple[object, ...], build: Callable[[], A]) -> A:
        """The result of `build`, which must depend on nothing but `what` and `made_of`: one object for all owners who
        make it of the same, while any of them keeps it. Nothing is kept here."""
        key = (what, hash(tuple(map(id, made_of))))
        found: A | None = self._alike.get(key)
        if found is not None and len(found.made_of) == len(made_of) and all(map(is_, found.made_of, made_of)):
            self.hits += 1
            return found
        self.misses += 1
        made = self._alike[key] = build()
        return made

    def _of(self, owner: Hashable) -> dict[Hashable, Newest]:
        kept = self._newest.get(owner)
        if kept is None:
            kept = self._newest[owner] = {}
            if len(self._newest) > self._owners:
                self._newest.popitem(last=False)
        return kept

    def forget(self, owner: Hashable) -> None:
        """Nobody asks for this owner any more."""
        self._newest.pop(owner, None)


def _weight(made: object) -> int:
    """The bytes of what was compiled; other things are small."""
    compiled = getattr(made, "compiled", None)
    if compiled is not None:
        return _LEAST + sum(map(_weight, compiled)) if isinstance(compiled, tuple) else _weight(compiled)
    body = getattr(getattr(made, "resource", made), "body", b"")
    return _LEAST + len(body) if isinstance(body, bytes) else _LEAST
