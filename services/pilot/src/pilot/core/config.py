"""A config object at a revision, how it is kept with others, and in which order Istio lets configs win. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from meshcore.model import MeshObject
from meshcore.xds.origin import ConfigRef, Origins

from pilot.core.diagnostics import Diagnostic

T = TypeVar("T", bound=MeshObject)

Name = tuple[str, str]
"""(namespace, name)."""
Source = tuple[str, str, str]
"""(kind, namespace, name) of the object that something was made of."""

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
PUBLIC, PRIVATE, NOBODY = "*", ".", "~"
"""The special values of `exportTo`: every namespace, the object's own, none."""


@dataclass(frozen=True, eq=False)
class Config(Generic[T]):
    """One object; `revision` is the one that last changed it, 0 when it came from a file.

    Compared by identity: an unchanged object stays the same `Config` from snapshot to snapshot, which is what memos
    rely on.
    """

    object: T
    revision: int = 0

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return self.object.metadata.namespace

    @property
    def name(self) -> str:
        """The object's name."""
        return self.object.metadata.name

    @property
    def age(self) -> tuple[str, str, str]:
        """Sorts the oldest first: creation, then name, then namespace."""
        return self.object.metadata.creation_timestamp or "", self.name, self.namespace

    @property
    def ref(self) -> ConfigRef:
        """How a resource that is made of it names it."""
        return ConfigRef(self.object.kind, self.namespace, self.name, self.revision)

    @property
    def refs(self) -> Origins:
        """Every object that is in it: itself, unless it has been merged."""
        return (self.ref,)

    def refs_of(self, rule: int) -> Origins:
        """The objects that made its rule of that number."""
        return (self.ref,)

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What was wrong with merging it."""
        return ()

    @property
    def path(self) -> str:
        """`/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews`."""
        kind = _WORD.sub("-", self.object.kind).lower()
        return f"/apis/{self.object.api_version}/namespaces/{self.namespace}/{kind}/{self.name}"


AnyConfig = Config[Any]
Configs = Mapping[str, Mapping[Name, AnyConfig]]
"""By kind, then by namespace and name."""
ConfigsByNamespace = Mapping[str, Mapping[str, tuple[AnyConfig, ...]]]
"""By kind, then by namespace, oldest first."""
ConfigStep = tuple[Source, AnyConfig | None]
"""An object that is another now; None when it is gone."""

_YOUNGEST = "9999-12-31T23:59:59Z"
_WRITERS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""Annotations that tell of the writing, not of the object."""


def as_written(item: T, live: MeshObject | None) -> T | None:
    """The object as it would be stored: as old as the one that is there, else the youngest of all. None when it is
    what is there already, so that writing it would change nothing."""
    if live is not None and _said(live) == _said(item):
        return None
    created = _YOUNGEST if live is None else live.metadata.creation_timestamp
    return item.model_copy(update={"metadata": item.metadata.model_copy(update={"creation_timestamp": created})})


def _said(item: MeshObject) -> tuple[object, ...]:
    """What its author says in it."""
    annotations = {key: text for key, text in item.metadata.annotations.items() if key not in _WRITERS}
    rest = item.model_dump(exclude={"metadata", "status", "api_version"})
    return rest, dict(item.metadata.labels), annotations


def oldest_first(configs: Iterable[Config[T]]) -> tuple[Config[T], ...]:
    """The order of precedence."""
    return tuple(sorted(configs, key=lambda config: config.age))


def exported(export_to: Iterable[str], owner: str, namespace: str) -> bool:
    """Whether an object of namespace `owner` may be seen from `namespace`."""
    targets = tuple(export_to)
    if PUBLIC in targets:
        return True
    if NOBODY in targets:
        return False
    return namespace in targets or (PRIVATE in targets and owner == namespace)
