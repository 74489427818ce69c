"""How far back the store remembers: config for 30 days and 1,000 revisions at least, the rest for as long as a watch
may lag.

Compaction is in whole revisions, never beyond what is still unpublished. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """The bounds; what is younger than the age or among the newest revisions stays."""

    revisions: int = 1000
    history_age: timedelta = timedelta(days=30)
    watch_age: timedelta = timedelta(minutes=10)
    """For status and endpoints, which have no history but are seen by watchers."""


@dataclass(frozen=True, slots=True)
class Floors:
    """Reads as of a revision below `history`, and watches from one below `watch`, are GONE."""

    history: int
    watch: int


def floors(
    retention: Retention,
    present: Floors,
    revision: int,
    newest_before_history_age: int,
    newest_before_watch_age: int,
    first_unpublished: int | None,
) -> Floors:
    """The new floors; never lower than the present ones.

    `newest_before_*` are the newest revisions that are older than the ages, 0 for none.
    """
    by_count = revision - retention.revisions
    unpublished = revision if first_unpublished is None else first_unpublished - 1
    history = max(present.history, min(by_count, newest_before_history_age, unpublished))
    watch = max(present.watch, history, min(by_count, newest_before_watch_age, unpublished))
    return Floors(history, watch)
