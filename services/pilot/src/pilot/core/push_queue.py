"""At most one pending push per stream; what comes later merges into it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Push:
    """Why and up to which revision a stream is to be pushed; `queued_at` is when the oldest reason came."""

    revision: int
    queued_at: float
    reasons: frozenset[str] = frozenset()

    def up_to(self, revision: int) -> "Push":
        """The same that brings what there is at that revision."""
        return self if self.revision == revision else Push(revision, self.queued_at, self.reasons)

    def merged(self, later: "Push") -> "Push":
        """One push that does for both."""
        return Push(
            max(self.revision, later.revision), min(self.queued_at, later.queued_at), self.reasons | later.reasons
        )


class PushQueue:
    """Pending pushes by stream, the oldest first."""

    def __init__(self) -> None:
        self._pending: dict[int, Push] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, stream: int, push: Push) -> bool:
        """Queue a push; True when the stream had none."""
        known = self._pending.get(stream)
        self._pending[stream] = push if known is None else known.merged(push)
        return known is None

    def pending(self, stream: int) -> bool:
        """Whether the stream has a pending push."""
        return stream in self._pending

    def take(self, stream: int) -> Push | None:
        """The stream's pending push, which is pending no longer."""
        return self._pending.pop(stream, None)

    def forget(self, stream: int) -> None:
        """The stream has ended."""
        self._pending.pop(stream, None)
