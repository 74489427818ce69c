"""Models that are imported when the first object of their kind is read: most meshes have none. Pure."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from meshcore.model.base import MeshObject


@dataclass(frozen=True, slots=True)
class Later:
    """A model by its module within this package, and its name there."""

    module: str
    name: str

    def model(self) -> type[MeshObject]:
        """The model."""
        return _model(self)


@cache
def _model(one: Later) -> type[MeshObject]:
    found: type[MeshObject] = getattr(import_module(f"meshcore.model.{one.module}"), one.name)
    return found
