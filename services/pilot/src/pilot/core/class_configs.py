"""What each class of proxies is to have: compiled at most once per class and snapshot, and given out without the parts
that proxies refuse. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from meshcore.xds.frames import Frames
from meshcore.xds.resource import Resources, ResourceSet, Steps

from pilot.core.compile_faults import CompileFaults, Problems, described
from pilot.core.compiling import Compile, Forget, Refresh
from pilot.core.isolation import Isolation
from pilot.core.lanes import EndpointChanges
from pilot.core.proxy import ProxyClass
from pilot.core.registry import RegisteredWorkload
from pilot.core.snapshot import MeshSnapshot


@dataclass(slots=True)
class _Config:
    snapshot: MeshSnapshot
    made: ResourceSet
    """As it was compiled."""
    given: ResourceSet
    """As it is given out: without the parts that proxies refuse."""
    endpoints: int
    """The changes of endpoints that there had been by that snapshot."""
    isolated: int = 0
    """The generation of the isolation that made `given` of `made`."""
    basis: MeshSnapshot | None = None
    """What it was compiled of where that is not `snapshot`, which a compile fails on."""

    @property
    def mappings(self) -> Iterable[Resources]:
        """What clients are led to, and what they would be without an isolation."""
        given = self.given.resources.values()
        return given if self.given is self.made else chain(given, self.made.resources.values())


class ClassConfigs:
    """Of each class that somebody is of, the newest."""

    def __init__(
        self,
        compile_class: Compile,
        refresh: Refresh,
        forget: Forget,
        isolation: Isolation,
        frames: Frames,
        endpoint_changes: EndpointChanges,
    ) -> None:
        self._compile = compile_class
        self._refresh = refresh
        self._forget = forget
        self._isolation = isolation
        self._frames = frames
        self._endpoint_changes = endpoint_changes
        self._steps = Steps()
        self._configs: dict[ProxyClass, _Config] = {}
        self.compiles = 0
        self.refreshes = 0
        """Classes that were given other endpoints without a compile."""
        self.broken: dict[ProxyClass, str] = {}
        """Classes whose last compile failed, and why; they keep what they had."""
        self.lacking: dict[ProxyClass, Problems] = {}
        """Classes whose compile succeeds only without some objects, and what is wrong with these."""
        # what compiles is looked up each time: it may be another by then
        self.faults = CompileFaults(lambda snapshot, one: self._compile(snapshot, one))

    @property
    def makes(self) -> int:
        """How often something was made, and not found made."""
        return self.compiles + self.refreshes

    def __len__(self) -> int:
        return len(self._configs)

    def __contains__(self, one: object) -> bool:
        return one in self._configs

    @property
    def given(self) -> Mapping[ProxyClass, ResourceSet]:
        """What each class was given last."""
        return {one: config.given for one, config in self._configs.items()}

    @property
    def needs(self) -> Mapping[ProxyClass, frozenset[str]]:
        """The secrets that the classes ask for."""
        return {one: config.given.secrets for one, config in self._configs.items() if config.given.secrets}

    def last_made(self, one: ProxyClass) -> ResourceSet | None:
        """What was compiled last for a class, as it was compiled."""
        known = self._configs.get(one)
        return None if known is None else known.made

    def made(self, one: ProxyClass, snapshot: MeshSnapshot) -> ResourceSet:
        """What a class has by this snapshot, as it was compiled."""
        return self._config(one, snapshot).made

    def resources(self, one: ProxyClass, snapshot: MeshSnapshot) -> ResourceSet:
        """What a class is to have by this snapshot."""
        return self._given(one, self._config(one, snapshot))

    def is_made(self, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
        """Whether that takes no compile."""
        known = self._configs.get(one)
        return known is not None and known.snapshot is snapshot

    def ahead(
        self, one: ProxyClass, registered: Iterable[RegisteredWorkload]
    ) -> tuple[MeshSnapshot, ResourceSet] | None:
        """What a class had, with the endpoints of now, and by which snapshot it has that; None where there is nothing
        that it had, or where other endpoints are not all that it takes."""
        known = self._configs.get(one)
        if known is None or not self._is_whole(one):
            return None
        after = self._endpoint_changes.upon(known.snapshot, known.endpoints, registered)
        made = None if after is None else self._refresh(known.snapshot, known.made, after, one)
        if after is None or made is None:
            return None
        self.refreshes += 1
        return after, self._given(one, self._keep(known, one, after, made))

    def unaffected(self, classes: Iterable[ProxyClass], before: MeshSnapshot, after: MeshSnapshot) -> None:
        """What these have by one snapshot is what they have by the next; what is said beside it (diagnostics) may be
        older until they are concerned, as with proxies that are not pushed to."""
        for one in classes:
            known = self._configs.get(one)
            if known is not None and known.snapshot is before and self._is_whole(one):
                self._is_by(known, after)

    def _given(self, one: ProxyClass, known: _Config) -> ResourceSet:
        generation = self._isolation.generation(one)
        if known.isolated != generation:
            known.given = self._isolation.applied(one, known.made).sharing(known.given)
            known.isolated = generation
        return known.given

    def forget(self, one: ProxyClass) -> None:
        """Nobody is of this class any more."""
        known = self._configs.pop(one, None)
        if known is not None:
            self._retire(known, None)
        self._forget(one)
        self.broken.pop(one, None)
        self.lacking.pop(one, None)
        self._isolation.forget(one)

    def _config(self, one: ProxyClass, snapshot: MeshSnapshot) -> _Config:
        known = self._configs.get(one)
        if known is not None and known.snapshot is snapshot:
            return known
        basis, problems = None, None
        try:
            made = self._make(known, one, snapshot)
        except Exception as error:
            # Compiling never fails on validated config; if it does, that is a bug of ours, and no reason to take from
            # proxies what they have, or to keep from them what has nothing to do with it.
            last = None if known is None else known.basis or known.snapshot
            spared = self.faults.spared(one, snapshot, error, last)
            if spared is None:
                self.broken[one] = described(error, snapshot)
                if known is None:
                    raise
                known.basis = last
                self._is_by(known, snapshot)
                return known
            made = spared.made.sharing(known.made if known else None, self._steps)
            basis, problems = spared.snapshot, spared.problems
        self.broken.pop(one, None)
        self.lacking.pop(one, None)
        if problems is not None:
            self.lacking[one] = problems
        found = self._keep(known, one, snapshot, made)
        found.basis = basis
        return found

    def _is_whole(self, one: ProxyClass) -> bool:
        """Whether what a class has is what its snapshot gives."""
        return one not in self.broken and one not in self.lacking

    def _is_by(self, known: _Config, snapshot: MeshSnapshot) -> None:
        known.snapshot, known.endpoints = snapshot, self._endpoint_changes.count

    def _keep(self, known: _Config | None, one: ProxyClass, snapshot: MeshSnapshot, made: ResourceSet) -> _Config:
        """Of a snapshot in which there are all changes of endpoints so far."""
        if known is not None and made is known.made:
            self._is_by(known, snapshot)
            return known
        given = self._isolation.applied(one, made)
        if given is not made:
            given = given.sharing(known.given if known else None)
        count = self._endpoint_changes.count
        fresh = self._configs[one] = _Config(snapshot, made, given, count, self._isolation.generation(one))
        if known is not None:
            self._retire(known, fresh)
        return fresh

    def _make(self, known: _Config | None, one: ProxyClass, snapshot: MeshSnapshot) -> ResourceSet:
        """By other endpoints in what was made before, if nothing else changed; else compiled."""
        if known is not None and self._is_whole(one):
            made = self._refresh(known.snapshot, known.made, snapshot, one)
            if made is not None:
                self.refreshes += 1
                return made
        self.compiles += 1
        return self._compile(snapshot, one).sharing(known.made if known else None, self._steps)

    def _retire(self, old: _Config, new: _Config | None) -> None:
        """Nobody is led any more to what a class had; others who have the same are about to be led elsewhere, too, or
        find the way once more."""
        still = set() if new is None else set(map(id, new.mappings))
        for mapping in old.mappings:
            if id(mapping) not in still:
                self._frames.retire(mapping)
