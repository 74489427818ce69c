"""MCP over xDS: one state-of-the-world stream of an istiod that takes its config from Galley. Pure.

What a real istiod does decides here, not the xDS specification:
- its first request of a type carries a nonce that nobody gave it (its clock): the first is the first whatever it says;
- it is ready only when every type it asked for was answered, so types that are empty or unknown are answered at once;
- the type URL it asked with is its key, so it is echoed, in whichever version it was;
- every answer is the whole of its type: what is not in it is deleted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshcore.errors import ErrorCode

from galley.core.mcp.effects import Acked, Close, Effect, Nacked, Push, Request, Stale
from galley.core.mcp.kinds import MESH_CONFIG_TYPE, kind_of_type
from galley.core.mcp.view import EMPTY, ConfigView

MOST_TYPES = 256


@dataclass(slots=True)
class _Type:
    nonce: str = ""
    """Of the last answer."""
    version: str | None = None
    """Of the last answer; None before the first."""
    waiting: bool = False
    """Whether that answer is neither ACKed nor NACKed yet."""


class XdsSession:
    """One stream; `stream` makes its nonces differ from those of every other stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._sent = 0
        self._view: ConfigView | None = None
        self._types: dict[str, _Type] = {}

    def on_view(self, view: ConfigView) -> tuple[Effect, ...]:
        """The config is this now."""
        self._view = view
        return tuple(self._due(self._types))

    def on_request(self, request: Request) -> tuple[Effect, ...]:
        """The peer asks for a type, or answers the last answer of one."""
        topic = request.topic
        asked = self._types.get(topic)
        if asked is None:
            if len(self._types) >= MOST_TYPES:
                return (Close(ErrorCode.RESOURCE_EXHAUSTED, f"a stream may ask for {MOST_TYPES} types"),)
            self._types[topic] = _Type()
            return tuple(self._due((topic,)))
        if asked.version is None or request.nonce != asked.nonce or not asked.waiting:
            return (Stale(topic),)
        asked.waiting = False
        effect: Effect = Acked(topic, asked.version)
        if request.error is not None:
            effect = Nacked(topic, asked.version, *request.error)
        return (effect, *self._due((topic,)))

    def _due(self, topics: Iterable[str]) -> Iterator[Push]:
        if self._view is None:
            return
        for topic in topics:
            asked = self._types[topic]
            kind = kind_of_type(topic)
            collection = EMPTY if kind is None else self._view.of(kind)
            if asked.waiting or asked.version == collection.version:
                continue
            self._sent += 1
            asked.nonce, asked.version = f"{self._stream}-{self._sent}", collection.version
            asked.waiting = topic != MESH_CONFIG_TYPE  # the one type whose answer istiod never acknowledges
            yield Push(topic, collection.version, asked.nonce, tuple(collection.entries.values()))
