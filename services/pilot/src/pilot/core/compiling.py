"""What the engine is given to make resources with. Pure."""

from collections.abc import Callable

from meshcore.distribution.events import Change
from meshcore.xds.resource import ResourceSet

from pilot.core.proxy import ProxyClass
from pilot.core.snapshot import MeshSnapshot

Compile = Callable[[MeshSnapshot, ProxyClass], ResourceSet]
Affects = Callable[[Change, ProxyClass, MeshSnapshot], bool]
Refresh = Callable[[MeshSnapshot, ResourceSet, MeshSnapshot, ProxyClass], ResourceSet | None]
"""What compiling the second snapshot gives, from what the first gave; None where that takes a whole compile."""

Forget = Callable[[ProxyClass], None]
"""Of a class that nobody is of any more nothing has to be remembered."""


def never(before: MeshSnapshot, made: ResourceSet, after: MeshSnapshot, one: ProxyClass) -> None:
    """A `Refresh` that always compiles."""


def nothing(one: ProxyClass) -> None:
    """A `Forget` of what remembers nothing."""
