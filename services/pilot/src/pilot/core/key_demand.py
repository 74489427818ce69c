"""Which keys of JWT issuers the config of the mesh needs fetched, and who waits for them. Pure.

A policy whose keys nobody has tried to fetch yet is held back from its own workloads: else it would refuse good tokens
because it came before its keys. A try has a time limit, and it ends the wait whatever it brings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pilot.core.impact import keys_affect
from pilot.core.issuer_keys import KeySource
from pilot.core.proxy import ProxyClass
from pilot.core.snapshot import MeshSnapshot


@dataclass
class KeyDemand:
    """What one process needs; `is_served` once somebody fetches: until then nobody waits."""

    is_served: bool = False
    _policies: object = None
    _wanted: Mapping[KeySource, timedelta] = field(default_factory=dict)

    def wanted(self, snapshot: MeshSnapshot) -> Mapping[KeySource, timedelta]:
        """What is to be fetched; the same object while no RequestAuthentication changes."""
        policies = snapshot.configs.get("RequestAuthentication")
        if self._policies is not policies:
            self._policies, self._wanted = policies, snapshot.key_sources()
        return self._wanted

    def awaited(self, snapshot: MeshSnapshot) -> frozenset[KeySource]:
        """Those of which not even the first try is over."""
        if not self.is_served:
            return frozenset()
        return frozenset(self.wanted(snapshot)) - snapshot.keys.sets.keys() - snapshot.keys.faults.keys()

    def waiting(self, snapshot: MeshSnapshot) -> Callable[[ProxyClass | None], bool]:
        """Tells whether the config of a class waits."""
        awaited = self.awaited(snapshot)
        return lambda one: bool(awaited) and one is not None and keys_affect(awaited, one, snapshot)
