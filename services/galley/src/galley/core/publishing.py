"""What waits to be published, and how much of it goes in one step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshcore.distribution.records import Head

MAX_KEYS_BYTES = 700_000
"""What the names of one change set's keys may take: its head must fit into one message."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """One revision of the outbox, or several as one step: the messages by key, and the head to write after them
    (without a fencing number)."""

    head: Head
    messages: tuple[tuple[str, bytes], ...]
    deleted: tuple[str, ...]
    """Keys of the messages that are tombstones."""


def pile(waiting: Sequence[Unpublished], published: int) -> Unpublished | None:
    """What waits behind a published revision and is still whole, as one step to its newest revision: of each key the
    last message. A round trip for each revision would let writers outrun the publisher without end. None when not even
    the first follows."""
    head: Head | None = None
    messages: dict[str, bytes] = {}
    deleted: set[str] = set()
    names = 0
    for revision in waiting:
        following = published if head is None else head.revision
        names += sum(len(key) + 3 for key in revision.head.keys)
        if revision.head.previous != following or len(revision.messages) != len(revision.head.keys):
            break
        if head is not None and names > MAX_KEYS_BYTES:
            break
        head = revision.head
        messages.update(revision.messages)
        deleted = (deleted - set(head.keys)) | set(revision.deleted)
    if head is None:
        return None
    merged = replace(head, previous=published, keys=tuple(messages))
    return Unpublished(merged, tuple(messages.items()), tuple(sorted(deleted)))
