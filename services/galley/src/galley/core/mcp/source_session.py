"""The source's side of one MCP stream, whichever end dialled: ACK, NACK, nonces, incremental answers. Pure.

Invariants, proved in `tests/core/mcp/test_source_session.py`:
1. At most one answer per collection waits for its ACK or NACK.
2. A peer that ACKs everything ends with exactly what the view has, incremental or not, after any number of changes.
3. A version that was refused is not sent again before the collection changes, or the peer starts over.
4. A request whose nonce is not the awaited one changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from meshcore.errors import ErrorCode

from galley.core.mcp.effects import Acked, Close, Effect, Nacked, Push, Request, Stale
from galley.core.mcp.kinds import COLLECTIONS
from galley.core.mcp.view import Collection, ConfigView, Entry


@dataclass(frozen=True, slots=True)
class _Pending:
    nonce: str
    version: str
    entries: Mapping[str, Entry]


@dataclass(slots=True)
class _Watch:
    incremental: bool = False
    held: Mapping[str, str] = field(default_factory=dict)
    """name -> version of what the peer is known to have."""
    settled: str | None = None
    """The version that was last ACKed or NACKed; None before the first answer to a (re)start."""
    pending: _Pending | None = None


class SourceSession:
    """One stream. `stream` makes its nonces differ from those of every other stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._sent = 0
        self._view: ConfigView | None = None
        self._watches: dict[str, _Watch] = {}

    def on_view(self, view: ConfigView) -> tuple[Effect, ...]:
        """The config is this now."""
        self._view = view
        return tuple(self._due(self._watches))

    def on_request(self, request: Request) -> tuple[Effect, ...]:
        """The peer said this."""
        topic = request.topic
        if topic not in COLLECTIONS:
            return (Close(ErrorCode.INVALID, f"there is no collection {topic[:100]!r}"),)
        watch = self._watches.get(topic)
        if request.nonce == "":
            known = dict(request.known) if request.incremental else {}
            self._watches[topic] = _Watch(request.incremental, known)
            return tuple(self._due((topic,)))
        if watch is None or watch.pending is None or watch.pending.nonce != request.nonce:
            return (Stale(topic),)
        answered, watch.pending = watch.pending, None
        watch.incremental = watch.incremental or request.incremental  # who once asked for it can read it
        watch.settled = answered.version
        effect: Effect
        if request.error is None:
            watch.held = {name: entry.version for name, entry in answered.entries.items()}
            effect = Acked(topic, answered.version)
        else:
            effect = Nacked(topic, answered.version, *request.error)
        return (effect, *self._due((topic,)))

    def _due(self, topics: Iterable[str]) -> Iterator[Effect]:
        """Answers that can go out now."""
        if self._view is None:
            return
        for topic in topics:
            watch = self._watches[topic]
            collection = self._view.of(COLLECTIONS[topic])
            if watch.pending is None and watch.settled != collection.version:
                yield self._push(topic, watch, collection)

    def _push(self, topic: str, watch: _Watch, collection: Collection) -> Push:
        self._sent += 1
        nonce = f"{self._stream}-{self._sent}"
        entries, held = collection.entries, watch.held
        watch.pending = _Pending(nonce, collection.version, entries)
        if not watch.incremental:
            return Push(topic, collection.version, nonce, tuple(entries.values()))
        changed = tuple(entry for name, entry in entries.items() if held.get(name) != entry.version)
        removed = tuple(sorted(name for name in held if name not in entries))
        return Push(topic, collection.version, nonce, changed, removed, incremental=True)
