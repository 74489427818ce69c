"""What a stage of the compiler made of each resource of a class, until the next compile of that class. Pure.

A listener goes through a stage for each thing that is put into it, and is another one after each. Of all but the last
compile nobody needs any of them: as memos, of which many are kept, those of old would take more than the mesh.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from pilot.core.compiler.context import Compilation, Compiled

T = TypeVar("T")
_Place = tuple[str, str]


class Stage(Generic[T]):
    """One stage of one compile."""

    def __init__(self, work: Compilation, name: str, given: Hashable) -> None:
        """`name` and `given` stand for all that the stage depends on beside the resource."""
        last, keep = work.last(("stage", name))
        before: Stage[T] | None = last
        self._given = given
        self._before: dict[_Place, tuple[Compiled, T]] = {}
        if before is not None and before._given == given:
            self._before = before._made
        self._made: dict[_Place, tuple[Compiled, T]] = {}
        keep(self)

    def of(self, item: Compiled, build: Callable[[], T]) -> T:
        """The result of `build` for this resource."""
        place = (item.resource.type_url, item.resource.name)
        before = self._before.pop(place, None)  # what is not asked for again goes with the next compile
        made = before[1] if before is not None and _is_as(before[0], item) else build()
        self._made[place] = item, made
        return made


def _is_as(one: Compiled, other: Compiled) -> bool:
    return one is other or (one == other and one.resource.origins == other.resource.origins)
