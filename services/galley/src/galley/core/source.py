"""Where config comes from besides the API: one interface, and what a source's state means for the store. Pure.

Every object that a source wrote carries its mark, so that after a restart too it is known what to delete when the
source no longer has it. What cannot be read now keeps what was read of it before.
"""

import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.kinds import KindInfo, by_kind
from meshcore.model.load import load_yaml_documents

from galley.core.storage import StoredObject

MARK = "meshcore.io/source"
"""Annotation of what a source wrote: `SOURCE:ORIGIN`."""
DEFAULT_NAMESPACE = "default"
_FRAMES = 8
"""Innermost frames that tell where something failed: too deep a nesting has a thousand of them."""

Collection = tuple[str, str]
"""API group and plural."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something of a source that could not be taken; the rest of it was."""

    origin: str
    line: int | None
    message: str
    where: tuple[str, ...] = ()
    """Frames of a failure that nobody foresaw, outermost first."""


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object as the source has it."""

    origin: str
    """What it stands in: a file; empty for a source that has only one place."""
    document: Mapping[str, Any]
    line: int | None = None
    line_of: Callable[[str], int] | None = field(default=None, compare=False, repr=False)
    """The line of a field, by its path."""

    def fault(self, error: Exception, about: str = "") -> Fault:
        """What is to be said when it could not be taken; `about` is its name, if it is known."""
        if not isinstance(error, MeshError):
            return unforeseen(error, self.origin, self.line, about)
        path = error.violations[0].field if error.violations else ""
        line = self.line_of(path) if path and self.line_of else self.line
        return Fault(self.origin, line, f"{about}: {error.detail}" if about else error.detail)


def unforeseen(error: Exception, origin: str, line: int | None = None, about: str = "") -> Fault:
    """What is to be said of a failure that should not be; an exception's own words may quote what it met."""
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    where = tuple(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    brief = f"Galley could not take it: {type(error).__name__}"
    return Fault(origin, line, f"{about}: {brief}" if about else brief, where)


@dataclass(frozen=True, slots=True)
class SourceState:
    """Everything that a source has, of some collections or (None) of all."""

    objects: tuple[SourceObject, ...]
    collections: frozenset[Collection] | None = None
    unreadable: frozenset[str] = frozenset()
    """Origins of which not everything could be read: what is there of them stays. With a slash at the end, a folder."""
    faults: tuple[Fault, ...] = ()
    complete: bool = True
    """False when the source could not be asked: then it says nothing but its faults."""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One object that changed, or went away."""

    object: SourceObject
    deleted: bool = False


class Source(Protocol):
    """Anything that config comes from."""

    @property
    def name(self) -> str:
        """Its name in marks, logs and metrics."""

    def events(self) -> AsyncIterator[SourceState | SourceChange]:
        """Its state, then what changes, for ever; trouble with the source itself is a fault in a state."""

    def ask_again(self) -> None:
        """Tell the whole state once more, a little later: not everything could be written."""


def key_of(document: Mapping[str, Any]) -> tuple[KindInfo, Key]:
    """What a document is about; INVALID or NOT_FOUND when that cannot be said."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise MeshError(ErrorCode.INVALID, "not an object with apiVersion, kind and metadata.name")
    info = by_kind(str(document.get("apiVersion")), str(document.get("kind")))
    namespace = str(metadata.get("namespace") or DEFAULT_NAMESPACE) if info.namespaced else ""
    return info, Key(info.group, info.plural, namespace, metadata["name"])


def marked(document: Mapping[str, Any], source: str, origin: str) -> dict[str, Any]:
    """The document with the mark of its source."""
    metadata = document["metadata"]
    annotations = {**(metadata.get("annotations") or {}), MARK: f"{source}:{origin}"}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def origin_of(stored: StoredObject, source: str) -> str | None:
    """The origin of an object that this source wrote, None of any other."""
    annotations = (stored.object.get("metadata") or {}).get("annotations") or {}
    name, _, origin = str(annotations.get(MARK, "")).partition(":")
    return origin if name == source else None


def surplus(state: SourceState, wanted: Iterable[Key], present: Iterable[StoredObject], source: str) -> list[Key]:
    """What the source wrote once and does not have any more; Namespaces last."""
    named = set(wanted)
    gone = [
        stored.key
        for stored in present
        if (origin := origin_of(stored, source)) is not None
        and stored.key not in named
        and not _is_unreadable(origin, state.unreadable)
        and (state.collections is None or stored.key[:2] in state.collections)
    ]
    return sorted(gone, key=lambda key: (key.plural == "namespaces", key))


def _is_unreadable(origin: str, unreadable: frozenset[str]) -> bool:
    return origin in unreadable or any(one.endswith("/") and origin.startswith(one) for one in unreadable)


def read_documents(text: str, origin: str) -> tuple[list[SourceObject], list[Fault]]:
    """The documents of a file; where YAML is broken, those documents of it that are not."""
    try:
        return _objects(text, origin), []
    except MeshError as error:
        whole = error
    if text.lstrip()[:1] == "{":
        return [], [_fault(whole, origin)]
    objects: list[SourceObject] = []
    faults: list[Fault] = []
    for first, part in _parts(text):
        try:
            objects += _objects("\n" * first + part, origin)
        except MeshError as error:
            faults.append(_fault(error, origin))
    return objects, faults or [_fault(whole, origin)]


def _objects(text: str, origin: str) -> list[SourceObject]:
    documents = load_yaml_documents(text, origin)
    return [SourceObject(origin, document.body, document.line, document.line_of) for document in documents]


def _parts(text: str) -> Iterable[tuple[int, str]]:
    """The documents as text, each with the number of lines before it."""
    start, lines = 0, text.splitlines(keepends=True)
    for at, line in enumerate([*lines, "---"]):
        if line.startswith("---") and (at == len(lines) or not line[3:4].strip()):
            if at > start:
                yield start, "".join(lines[start:at])
            start = at + 1


def _fault(error: MeshError, origin: str) -> Fault:
    violation = error.violations[0] if error.violations else Violation("", error.detail)
    return Fault(origin, violation.line, violation.message)
