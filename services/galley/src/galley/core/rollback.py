"""Which objects a rollback of the whole store puts back, changes or takes away. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshcore.distribution.keys import Key

from galley.core.storage import StoredObject


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What differs between now and then. Namespaces stand before what is in them, and go after it."""

    create: tuple[StoredObject, ...]
    """Objects of then that are gone now."""
    update: tuple[StoredObject, ...]
    """Objects of then that the author has since written otherwise."""
    delete: tuple[Key, ...]
    """Objects of now that were not there then."""

    @property
    def empty(self) -> bool:
        """Whether now is as then."""
        return not (self.create or self.update or self.delete)


def plan_rollback(now: Iterable[StoredObject], then: Iterable[StoredObject]) -> RollbackPlan:
    """Compare what authors wrote; status and server-set metadata do not count."""
    present = {stored.key: stored for stored in now}
    past = {stored.key: stored for stored in then}
    create = [past[key] for key in past.keys() - present.keys()]
    update = [past[key] for key in past.keys() & present.keys() if not _same(past[key].object, present[key].object)]
    delete = list(present.keys() - past.keys())
    return RollbackPlan(
        tuple(sorted(create, key=lambda stored: _order(stored.key))),
        tuple(sorted(update, key=lambda stored: _order(stored.key))),
        tuple(sorted(delete, key=_order, reverse=True)),
    )


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return dict(one) == dict(other)


def _order(key: Key) -> tuple[bool, Key]:
    return key.plural != "namespaces", key
