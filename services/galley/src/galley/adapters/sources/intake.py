"""Writes what sources have into the store: validated like anything else, one by one, so that one bad object stops none,
whatever is bad about it: it keeps what is there of it.

What was refused is on the page `/debug/sourcez`, in the log, and in a metric, and is tried again.
"""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace

import structlog
from meshcore import metrics
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import KINDS, KindInfo
from meshcore.runtime.telemetry import current_traceparent

from galley.adapters.config_api import namespaces
from galley.adapters.config_api.calls import Backend
from galley.core.admission import admit
from galley.core.apply.documents import manager_at, with_updated
from galley.core.kinds import rules_of
from galley.core.kube_api import metadata
from galley.core.kube_api.paths import ResourcePath
from galley.core.kube_api.query import FieldValidation
from galley.core.source import (
    Collection,
    Fault,
    Source,
    SourceChange,
    SourceObject,
    SourceState,
    key_of,
    marked,
    origin_of,
    surplus,
)
from galley.core.storage import StoredObject, Verb, WriteOp

_log = structlog.get_logger("sources")
_ERRORS = metrics.gauge("galley_source_errors", "What of a source could not be taken", ["source"])
_OBJECTS = metrics.gauge("galley_source_objects", "Objects that a source has", ["source"])


@dataclass(frozen=True, slots=True)
class Report:
    """How far a source is."""

    source: str
    synchronised: bool
    """Whether its whole state was taken in once, whatever was refused of it."""
    objects: int
    faults: tuple[Fault, ...]


class Intake:
    """Takes in one source."""

    def __init__(
        self, source: Source, backend: Backend, field_validation: FieldValidation = FieldValidation.STRICT
    ) -> None:
        self._source = source
        self._backend = backend
        self._field_validation = field_validation
        self._present: set[Key] = set()
        self._faults: dict[Collection | None, tuple[Fault, ...]] = {}
        self._synchronised = False

    def report(self) -> Report:
        """What the admin page shows."""
        faults = tuple(fault for found in self._faults.values() for fault in found)
        return Report(self._source.name, self._synchronised, len(self._present), faults)

    async def run(self) -> None:
        """Follow the source for ever."""
        async for event in self._source.events():
            try:
                if isinstance(event, SourceState):
                    await self._take_state(event)
                else:
                    await self._take_change(event)
            except Exception as error:  # noqa: BLE001 - what fails here must not end the source
                fault = SourceObject("", {}).fault(error, "what is stored of this source")
                self._keep(_scope_of(event), (fault,))
                self._source.ask_again()
            report = self.report()
            _ERRORS.labels(self._source.name).set(len(report.faults))
            _OBJECTS.labels(self._source.name).set(report.objects)

    async def _take_state(self, state: SourceState) -> None:
        scope = _scope_of(state)
        if not state.complete:
            self._keep(scope, state.faults)
            return
        faults = list(state.faults)
        wanted: dict[Key, tuple[KindInfo, SourceObject]] = {}
        unnamed: set[str] = set()
        for item in state.objects:
            try:
                info, key = key_of(item.document)
            except Exception as error:  # noqa: BLE001 - the others are taken
                faults.append(item.fault(error))
                unnamed.add(item.origin)
                continue
            if key in wanted:
                first = wanted[key][1]
                faults.append(Fault(item.origin, item.line, f"{key.name} is in {first.origin}:{first.line} already"))
            else:
                wanted[key] = info, item
        refused = await self._write_all(wanted)
        state = replace(state, unreadable=state.unreadable | unnamed)
        stored, unknown = await self._stored(state.collections)
        refused += unknown
        for key in surplus(state, wanted, stored, self._source.name):
            refused += await self._try(self._delete(key), SourceObject("", {}), key)
        self._present = {key for key in self._present if not self._in_scope(key, state.collections)} | wanted.keys()
        self._keep(scope, (*faults, *refused))
        if refused:
            self._source.ask_again()
        self._synchronised = True

    @staticmethod
    def _in_scope(key: Key, collections: frozenset[Collection] | None) -> bool:
        return collections is None or key[:2] in collections

    async def _write_all(self, wanted: dict[Key, tuple[KindInfo, SourceObject]]) -> list[Fault]:
        """Namespaces first, since the others need theirs."""
        refused: list[Fault] = []
        for key in sorted(wanted, key=lambda one: one.plural != "namespaces"):
            info, item = wanted[key]
            refused += await self._try(self._write(info, key, item), item, key)
        return refused

    async def _take_change(self, change: SourceChange) -> None:
        try:
            info, key = key_of(change.object.document)
        except Exception as error:  # noqa: BLE001 - the others are taken
            self._keep(None, (change.object.fault(error),))
            return
        if change.deleted:
            self._present.discard(key)
            refused = await self._try(self._delete(key), change.object, key)
        else:
            self._present.add(key)
            refused = await self._try(self._write(info, key, change.object), change.object, key)
        if refused:
            self._keep((key.group, key.plural), (*self._faults.get((key.group, key.plural), ()), *refused))
            self._source.ask_again()

    def _keep(self, scope: Collection | None, faults: tuple[Fault, ...]) -> None:
        if faults != self._faults.get(scope, ()):
            for fault in faults:
                told = {"source": self._source.name, "origin": fault.origin, "line": fault.line}
                if fault.where:
                    _log.error("source failed", **told, reason=fault.message, where=fault.where)
                else:
                    _log.warning("source refused", **told, reason=fault.message)
        self._faults[scope] = faults

    async def _try(self, work: Awaitable[None], item: SourceObject, key: Key) -> list[Fault]:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - one object never stops the others
            return [item.fault(error, f"{key.plural} {key.namespace}/{key.name}")]
        return []

    async def _write(self, info: KindInfo, key: Key, item: SourceObject) -> None:
        store, rules = self._backend.store, rules_of(info)
        version = str(item.document["apiVersion"]).rpartition("/")[2]
        path = ResourcePath(info.group, version, info.plural, key.namespace or None, key.name)
        metadata.check_type(item.document, path, info)
        cleaned = {name: value for name, value in item.document.items() if name != "status"}
        details = {name: value for name, value in cleaned["metadata"].items() if name not in metadata.SERVER_SET}
        document = marked({**cleaned, "metadata": details}, self._source.name, item.origin)
        live = await self._live(key)
        if live is None:
            document = metadata.for_create(document, path, info)
        else:
            document = metadata.for_update(document, path, info, live.document())
        admitted = admit(document, info, self._backend.naming, self._field_validation)
        manager = manager_at(f"source-{self._source.name}", path.api_version, self._backend.clock())
        before = None if live is None else live.document()
        operation = WriteOp(
            Verb.CREATE if live is None else Verb.UPDATE,
            key,
            with_updated(admitted.document, before, None, manager, rules.structure),
            admitted.normalised,
            resource_version=None if live is None else live.resource_version,
            requires=namespaces.key_of(key.namespace) if live is None and key.namespace else None,
            keeps_history=rules.keeps_history,
            status=rules.initial_status if live is None else None,
        )
        operations = [operation, *(namespaces.companions(key) if live is None else ())]
        await store.write(operations, f"source:{self._source.name}", current_traceparent())

    async def _delete(self, key: Key) -> None:
        live = await self._live(key)
        if live is None or origin_of(live, self._source.name) is None:
            return
        author, traceparent = f"source:{self._source.name}", current_traceparent()
        if key.plural == "namespaces":
            namespaces.check_deletable(key.name)
            await namespaces.delete_with_content(self._backend.store, key.name, author, traceparent)
            return
        keeps = next(rules_of(info).keeps_history for info in KINDS if (info.group, info.plural) == key[:2])
        await self._backend.store.write([WriteOp(Verb.DELETE, key, keeps_history=keeps)], author, traceparent)

    async def _live(self, key: Key) -> StoredObject | None:
        try:
            return self._backend.store.reveal(await self._backend.store.get(key))
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            return None

    async def _stored(self, collections: frozenset[Collection] | None) -> tuple[list[StoredObject], list[Fault]]:
        """What is there, and of what it cannot be said whether the source wrote it: that stays."""
        found: list[StoredObject] = []
        faults: list[Fault] = []
        for group, plural in self._collections(collections):
            try:
                items = (await self._backend.store.list(group, plural)).items
            except Exception as error:  # noqa: BLE001 - a row that cannot be read concerns its kind alone
                faults.append(SourceObject("", {}).fault(error, f"stored {plural}"))
                continue
            for item in items:
                try:
                    found.append(self._backend.store.reveal(item))
                except Exception as error:  # noqa: BLE001 - the same of one object
                    about = f"stored {plural} {item.key.namespace}/{item.key.name}"
                    faults.append(SourceObject("", {}).fault(error, about))
        return found, faults

    @staticmethod
    def _collections(collections: frozenset[Collection] | None) -> Iterable[Collection]:
        everything = [(info.group, info.plural) for info in KINDS]
        return everything if collections is None else [one for one in everything if one in collections]


def _scope_of(event: SourceState | SourceChange) -> Collection | None:
    """What the faults of an event are about: one collection, or (None) everything."""
    collections = event.collections if isinstance(event, SourceState) else None
    return next(iter(collections), None) if collections else None
