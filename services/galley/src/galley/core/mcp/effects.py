"""What a session wants done, and what it has noticed: the only way out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshcore.errors import ErrorCode

from galley.core.mcp.view import Entry


@dataclass(frozen=True, slots=True)
class Push:
    """Send one answer. `incremental` ones hold only what changed, and `removed` names what is gone."""

    topic: str
    """The collection, or the type URL as it was asked for."""
    version: str
    nonce: str
    entries: tuple[Entry, ...]
    removed: tuple[str, ...] = ()
    incremental: bool = False


@dataclass(frozen=True, slots=True)
class Acked:
    """The peer has taken a version."""

    topic: str
    version: str


@dataclass(frozen=True, slots=True)
class Nacked:
    """The peer refused a version; it is not sent again, the next change is."""

    topic: str
    version: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Stale:
    """A request about an answer that is no longer the last one; it was ignored."""

    topic: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the stream with this status."""

    code: ErrorCode
    message: str


Effect = Push | Acked | Nacked | Stale | Close


@dataclass(frozen=True, slots=True)
class Request:
    """One message of the peer: the first about a topic, an ACK, or (with `error`) a NACK."""

    topic: str
    nonce: str = ""
    error: tuple[int, str] | None = None
    """google.rpc code and message."""
    incremental: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    """Of a first incremental request: name -> version of what the peer still has."""
