"""Records that wait for Citadel: so many and no more. Pure.

When it is full what comes is dropped and counted: the first records of what went wrong are worth more than the last,
and the batch that is being sent stays what it is, so that sending it again stores nothing twice.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent together; `lost` is how many were dropped since the batch that was accepted last."""

    records: tuple[Any, ...]
    lost: int


class AuditQueue:
    """At most `limit` records, with those of the batch that is under way."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lost = 0
        """Dropped, and not yet told to Citadel."""
        self._waiting: deque[Any] = deque()
        self._under_way: Batch | None = None

    def __len__(self) -> int:
        under_way = len(self._under_way.records) if self._under_way is not None else 0
        return len(self._waiting) + under_way

    def offer(self, record: Any) -> bool:
        """Whether there was room."""
        if len(self) >= self.limit:
            self.lost += 1
            return False
        self._waiting.append(record)
        return True

    def take(self, most: int, most_bytes: int) -> Batch | None:
        """The batch to send: the one under way, or the next; None when there is nothing to tell.

        A record that is larger than `most_bytes` makes a batch of its own.
        """
        if self._under_way is None and (self._waiting or self.lost):
            chosen: list[Any] = []
            size = 0
            while self._waiting and len(chosen) < most:
                size += self._waiting[0].ByteSize() + 4
                if chosen and size > most_bytes:
                    break
                chosen.append(self._waiting.popleft())
            self._under_way = Batch(tuple(chosen), self.lost)
        return self._under_way

    def accepted(self) -> None:
        """The batch under way is Citadel's now."""
        if self._under_way is not None:
            self.lost -= self._under_way.lost
            self._under_way = None

    def refused(self) -> int:
        """The batch under way will never be taken: its records are lost; how many."""
        count = len(self._under_way.records) if self._under_way is not None else 0
        self.lost += count
        self._under_way = None
        return count
