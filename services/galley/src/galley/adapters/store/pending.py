"""This process's newest revisions as the publisher wants them, so that it does not read back from SQL what was
written a moment ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from galley.core.publishing import Unpublished
from galley.core.storage import ChangeSet

MOST_BYTES = 8 * 1024 * 1024
"""Of messages that are kept; what lies further back is read from the outbox."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A new revision: what watchers hear of it, and what is published of it (None: nothing)."""

    change_set: ChangeSet
    unpublished: Unpublished | None


class Pending:
    """An unbroken run of published revisions up to the newest that this process committed."""

    def __init__(self) -> None:
        self._run: deque[Unpublished] = deque()
        self._bytes = 0
        self._since = 0
        self._newest = 0

    def announce(self, committed: Iterable[Commit]) -> None:
        """New revisions, in order; after one of another replica the run begins anew."""
        for commit in committed:
            revision = commit.change_set.revision
            if revision != self._newest + 1:
                self.forget(self._newest)
                self._since = revision - 1
            self._newest = revision
            if commit.unpublished is not None:
                self._run.append(commit.unpublished)
                self._bytes += _size(commit.unpublished)
        while self._bytes > MOST_BYTES:
            self.forget(self._run[0].head.revision)

    def after(self, revision: int, newest: int) -> list[Unpublished] | None:
        """The published revisions after this one up to the newest that is known of; None when some are not here."""
        if revision < self._since or newest != self._newest:
            return None
        return [one for one in self._run if one.head.revision > revision]

    def forget(self, revision: int) -> None:
        """Drop the run up to a revision."""
        while self._run and self._run[0].head.revision <= revision:
            self._bytes -= _size(self._run.popleft())
        self._since = max(self._since, revision)


def _size(revision: Unpublished) -> int:
    return sum(len(message) for _, message in revision.messages)
