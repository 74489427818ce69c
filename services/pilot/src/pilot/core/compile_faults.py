"""What becomes of a class whose compile fails in a way that nobody foresaw: it goes without the objects that it fails
on, and has everything else. Pure.

An object at fault is found among those that the failure had in hand, or that have changed since the class's last good
compile, and it is at fault only if a compile without it succeeds. The class then has its last good form. Where none is
known it has none of it, unless that could let through what the object keeps out: such a class is given nothing new.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from meshcore.model import DestinationRule, Gateway, MeshObject
from meshcore.xds.origin import Origins
from meshcore.xds.resource import ResourceSet

from pilot.core.compiling import Compile
from pilot.core.config import AnyConfig, Config, Source
from pilot.core.intake import LeftOut, frames_of, left_out, path_of
from pilot.core.proxy import ProxyClass
from pilot.core.registry import Service
from pilot.core.registry.kinds import REGISTRY_KINDS
from pilot.core.selection import Selection, read_label_keys, read_metadata_keys, read_place_keys
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.destination_rules import ServiceRule

EXAMPLES = 5
"""Objects that are named where any of them may be at fault."""
TRIES = 8
"""Objects that are left out together, at most; each is a compile, which nothing else in the process goes on during."""
_FRAMES = 100
"""Innermost frames of a failure that are looked at."""
_REMEMBERED = 64
"""Failures of which it is remembered that nothing helps."""
_DISPENSABLE = frozenset(
    {"VirtualService", "DestinationRule", "ServiceEntry", "Service", "Gateway", "Ingress", "Telemetry"}
)
"""Kinds that a mesh may be without. Policies, extensions, patches and Sidecars may be what keeps somebody out."""
_EVERYTHING = "ConfigMap"
"""The kind of the mesh's own config, which is no matter of single objects."""

Forms = Mapping[Source, AnyConfig | None]
"""What stands in the place of objects; None: nothing."""
Problems = Mapping[Source, LeftOut]


@dataclass(frozen=True, slots=True)
class Spared:
    """What a class has without the objects that its compile fails on."""

    made: ResourceSet
    snapshot: MeshSnapshot
    """What it is made of."""
    problems: Problems


class Fault(NamedTuple):
    """The version of an object that compiles fail on, and what stands in its place."""

    config: AnyConfig
    form: AnyConfig | None
    problem: LeftOut


class CompileFaults:
    """The objects that compiles fail on, for all classes of a process."""

    def __init__(self, compile_class: Compile) -> None:
        self._compile = compile_class
        self._known: dict[Source, Fault] = {}
        self._hopeless: set[tuple[object, ...]] = set()
        self._variants: dict[frozenset[tuple[Source, AnyConfig | None]], MeshSnapshot] = {}
        self._variants_of: MeshSnapshot | None = None
        self.news: list[Fault] = []
        """Versions that nobody has been told of yet."""

    def spared(
        self, one: ProxyClass, snapshot: MeshSnapshot, error: Exception, before: MeshSnapshot | None
    ) -> Spared | None:
        """What a class has instead of what its compile failed to make; None when nothing helps. `before` is the mesh of
        its last good compile."""
        found = self._stand_ins(error, snapshot, before)
        first = (frames_of(error), *found.items())
        if first in self._hopeless:
            return None
        forms: dict[Source, AnyConfig | None] = {}
        problems: dict[Source, LeftOut] = {}
        while len(forms) < TRIES and (source := next((one for one in found if one not in forms), None)) is not None:
            forms[source] = found[source]
            problems[source] = left_out(source, error, "while config was made of it")
            made = self._tried(one, snapshot, forms)
            if isinstance(made, ResourceSet):
                return self._fewest(one, snapshot, forms, problems, made)
            error, found = made, self._stand_ins(made, snapshot, before)
        if len(self._hopeless) >= _REMEMBERED:
            self._hopeless.clear()
        self._hopeless.add(first)
        return None

    def _fewest(
        self, one: ProxyClass, snapshot: MeshSnapshot, forms: Forms, problems: Problems, made: ResourceSet
    ) -> Spared:
        """Those that were tried before the one that helped may have nothing to do with it."""
        for source in list(forms)[:-1]:
            fewer = {other: form for other, form in forms.items() if other != source}
            again = self._tried(one, snapshot, fewer)
            if isinstance(again, ResourceSet):
                made, forms = again, fewer
        self._note(snapshot, forms, problems)
        return Spared(made, self._variant(snapshot, forms), {source: problems[source] for source in forms})

    def _note(self, snapshot: MeshSnapshot, forms: Forms, problems: Problems) -> None:
        self._known = {source: one for source, one in self._known.items() if snapshot.config(source) is one.config}
        for source, form in forms.items():
            config = snapshot.config(source)
            if source not in self._known and config is not None:
                self._known[source] = Fault(config, form, problems[source])
                self.news.append(self._known[source])
                self._hopeless.clear()

    def _tried(self, one: ProxyClass, snapshot: MeshSnapshot, forms: Forms) -> ResourceSet | Exception:
        """What a class has with these forms, or why it has nothing."""
        try:
            return self._compile(self._variant(snapshot, forms), one)
        except Exception as error:  # noqa: BLE001 - of an object, which is looked for; who asked tells of it
            return error

    def _variant(self, snapshot: MeshSnapshot, forms: Forms) -> MeshSnapshot:
        """One for all classes, whose memos go by the identity of what is in it."""
        if self._variants_of is not snapshot:
            self._variants_of, self._variants = snapshot, {}
        key = frozenset(forms.items())
        if key not in self._variants:
            self._variants[key] = snapshot.with_forms(forms)
        return self._variants[key]

    def _stand_ins(self, failure: Exception, snapshot: MeshSnapshot, before: MeshSnapshot | None) -> Forms:
        """What may stand in the place of objects that may be at fault, the likeliest first."""
        found: dict[Source, AnyConfig | None] = {}
        for sources in _in_hand(failure):
            suspects = self._forms(sources, snapshot, before)
            if not all(_may_stand(form, snapshot.config(source), snapshot) for source, form in suspects.items()):
                # From here on the likeliest is one that cannot be spared: no other is to go in its place.
                return self._ranked(found)
            found.update(suspects)
        changed = () if before is None else tuple(_changed(before, snapshot))
        more = self._forms(changed if len(changed) <= TRIES else (), snapshot, before)
        fit = {source: form for source, form in more.items() if _may_stand(form, snapshot.config(source), snapshot)}
        return {**self._ranked(found), **fit}

    def _ranked(self, forms: Forms) -> Forms:
        """Services are in hand whatever is made for them: what is said about them comes first."""
        ranked = sorted(forms, key=lambda source: (source not in self._known, source[0] in REGISTRY_KINDS))
        return {source: forms[source] for source in ranked}

    def _forms(self, sources: Iterable[Source], snapshot: MeshSnapshot, before: MeshSnapshot | None) -> Forms:
        """The forms that those of these objects had when all was well which are others now."""
        found: dict[Source, AnyConfig | None] = {}
        for source in sources:
            config, known = snapshot.config(source), self._known.get(source)
            if config is None or config.object.kind == _EVERYTHING:
                continue
            form = before.config(source) if before is not None else None
            if before is None and known is not None and known.config is config:
                form = known.form
            if form is None or form.object != config.object:
                found[source] = form
        return found


def described(error: Exception, snapshot: MeshSnapshot) -> str:
    """What failed, and the objects that were in hand: one of them is likely to be at fault."""
    found = (tuple(filter(snapshot.config, sources)) for sources in _in_hand(error))
    paths = sorted(map(path_of, set(next(filter(None, found), ()))))
    return f"{type(error).__name__}: {error}" + (f" (in hand: {', '.join(paths[:EXAMPLES])})" if paths else "")


def _in_hand(failure: Exception) -> Iterator[tuple[Source, ...]]:
    """The objects that each frame of a failure had in hand, innermost first."""
    frames = []
    traceback = failure.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in frames[: -_FRAMES - 1 : -1]:
        yield tuple(ref[:3] for value in frame.f_locals.values() for ref in _refs(value))


def _refs(value: object) -> Origins:
    if isinstance(value, Config):
        return value.refs
    if isinstance(value, ServiceRule):
        return tuple(config.ref for config in value.configs)
    return (value.ref,) if isinstance(value, Service) else ()


def _changed(before: MeshSnapshot, after: MeshSnapshot) -> Iterator[Source]:
    """The objects that are there and have not been, or not in this form."""
    for kind, configs in after.configs.items():
        old = before.configs.get(kind, {})
        if old is not configs:
            yield from ((kind, *name) for name, config in configs.items() if old.get(name) is not config)


def _may_stand(form: AnyConfig | None, config: AnyConfig | None, snapshot: MeshSnapshot) -> bool:
    """Whether an object may be in this form in its place."""
    if form is None:
        return config is not None and _is_dispensable(config.object)
    return _is_read(form.object, snapshot.selection)


def _is_dispensable(item: MeshObject) -> bool:
    """Whether nothing is let through without it: one that encrypts calls or asks for certificates is none."""
    if isinstance(item, DestinationRule):
        policies = (item.spec.traffic_policy, *(subset.traffic_policy for subset in item.spec.subsets))
        present = [policy for policy in policies if policy is not None]
        return not any(policy.tls or any(port.tls for port in policy.port_level_settings) for policy in present)
    if isinstance(item, Gateway):
        return not any(server.tls and "MUTUAL" in server.tls.mode for server in item.spec.servers)
    return item.kind in _DISPENSABLE


def _is_read(item: MeshObject, selection: Selection) -> bool:
    """Whether classes tell apart whom this form tells apart: by a label that they lack it would select nobody."""
    return (
        selection.read_keys.issuperset(read_label_keys(item))
        and selection.place_keys.issuperset(read_place_keys(item))
        and selection.read_metadata.issuperset(read_metadata_keys(item))
    )
