"""Reading one published record, and what is kept of it when that fails: one object never stops the others. Pure.

Galley publishes what it has admitted. A record that cannot be read all the same (another version of Galley wrote it, or
a bug of ours is in the way) is left out, and the last good form of its object stays.
"""

import traceback
from dataclasses import dataclass
from typing import Any, Protocol

from meshcore.errors import ErrorCode, MeshError
from meshcore.model import MeshObject
from meshcore.model.load import parse_object

from pilot.core.config import Source
from pilot.core.diagnostics import Diagnostic, Severity

UNREADABLE, UNEXPECTED = "unreadable", "unexpected"
"""Codes of what is left out: the record is no object of its key, or something that should not fail did."""
_FRAMES = 8
"""Innermost frames that tell where it failed: too deep a nesting has a thousand of them."""


class RecordLike(Protocol):
    """What is read of a published record."""

    @property
    def revision(self) -> int: ...  # noqa: D102
    @property
    def object(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def deleted(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, order=True)
class LeftOut(Diagnostic):
    """A version of an object that is not in the snapshot. `message` is for its author; `brief` and `where` are for
    logs: they quote nothing of the object."""

    brief: str = ""
    where: tuple[str, ...] = ()
    """Frames of a failure that nobody foresaw, outermost first."""

    @property
    def source(self) -> Source:
        """Kind, namespace and name."""
        kind, namespace, name = self.config.split("/")
        return kind, namespace, name


@dataclass(frozen=True, slots=True, order=True)
class Untaken:
    """A version of an object that Pilot left out, as a receipt tells of it: proxies, or some, were not given it."""

    config: str
    """`<kind>/<namespace>/<name>@<revision>`."""
    message: str


def read_object(source: Source, group: str, record: RecordLike) -> MeshObject:
    """The object in a record; INVALID when it is none, or another one than its key says."""
    found = parse_object(record.object, strict=False)
    named = (found.kind, *found.namespaced_name)
    if named != source or found.api_version.rpartition("/")[0] != group:
        shown = f"{named[0]}/{named[1]}/{named[2]} of {found.api_version}"
        raise MeshError(ErrorCode.INVALID, f"the record under the key of {path_of(source)} holds {shown}")
    return found


def left_out(source: Source, error: Exception, doing: str) -> LeftOut:
    """What is to be said of an object that could not be taken; `doing` is what failed, as in "while it was read"."""
    path = path_of(source)
    if isinstance(error, MeshError):
        fields = ", ".join(violation.field for violation in error.violations if violation.field)
        brief = f"{error.code.value}: {fields}" if fields else error.detail
        return LeftOut(UNREADABLE, path, str(error), Severity.ERROR, brief)
    # An exception's words may quote what it met.
    brief = f"{type(error).__name__} {doing}"
    return LeftOut(UNEXPECTED, path, f"Pilot could not take it: {brief}", Severity.ERROR, brief, frames_of(error))


def frames_of(error: Exception) -> tuple[str, ...]:
    """Where it failed, outermost first: file, line and function."""
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    return tuple(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)


def path_of(source: Source) -> str:
    """`VirtualService/shop/reviews`."""
    return "/".join(source)
