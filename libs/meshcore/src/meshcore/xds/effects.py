"""What a session asks its adapter to do, and what it tells it. Frozen; the adapter executes, counts and logs."""

from dataclasses import dataclass, field
from typing import NamedTuple

from meshcore.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Write one message on the stream."""

    type_url: str
    frame: bytes = field(repr=False)
    """The whole serialised response; the same object for every stream that makes the same move."""
    nonce: str
    revision: int
    """The newest config revision that the message brings."""
    names: frozenset[str]
    """Resources in the message."""
    removed: frozenset[str]
    """Names that the message takes away."""


class Acked(NamedTuple):
    """The client has taken the message with this nonce."""

    type_url: str
    nonce: str
    revision: int
    seconds: float
    """From `Send` to here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nacked:
    """The client has refused (something of) the message with this nonce and keeps what it had."""

    type_url: str
    nonce: str
    revision: int
    code: int
    """google.rpc.Code"""
    message: str
    names: frozenset[str]
    """Resources in the refused message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """The client answered a nonce that is not waiting for an answer; nothing was changed by it."""

    type_url: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End the stream with this status."""

    code: ErrorCode
    detail: str


Effect = Send | Acked | Nacked | Expired | Close
