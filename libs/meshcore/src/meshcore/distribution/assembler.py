"""Turns what a watch of `mesh-config` shows into whole change sets. Pure: messages in, outputs out.

A revision is applied when its head and all of its keys are there. A key that a later revision has already overwritten
is satisfied by that one: then the two revisions are applied as one step, since the value in between is not to be had
and a mixture must not be shown. Gaps are judged by the head's previous published revision, never by sequences of the
transport.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshcore.distribution.digest import SetDigest
from meshcore.distribution.events import Change, ChangeSet, FullState, Output, Refused, Relist
from meshcore.distribution.keys import parse_kv_key
from meshcore.distribution.records import ConfigRecord, Head
from meshcore.distribution.state_copy import StateCopy
from meshcore.distribution.view import BucketView


class Assembler:
    """One consumer's state.

    Invariants, proved in `tests/distribution/test_assembler_machine.py` for every interleaving, duplication and loss:
    1. What it shows is always the exact set of some published revision; never a mixture of two.
    2. Shown revisions only grow within one store; a store that was left is never shown again.
    3. A head with a lower fencing number than one seen before changes nothing.
    4. After a re-list every consumer shows the same.
    """

    def __init__(self) -> None:
        self._state: dict[str, ConfigRecord] = {}
        self._digest = SetDigest()
        self._store: str | None = None
        self._revision = 0
        self._fencing: dict[str, int] = {}
        self._view = BucketView()
        self._heads: dict[int, Head] = {}
        self._newest: Head | None = None
        self._left: set[str] = set()

    @property
    def revision(self) -> int:
        """The revision that is shown; 0 before the first."""
        return self._revision

    @property
    def in_sync(self) -> bool:
        """Whether the newest head that this watch has shown is applied."""
        return (
            self._newest is not None and self._newest.store == self._store and self._newest.revision <= self._revision
        )

    @property
    def waits(self) -> bool:
        """Whether the watch has shown all there was, and a head that could not be applied."""
        return self._view.listed and self._newest is not None and not self.in_sync

    def stalled(self) -> Relist:
        """It has waited too long. While heads follow each other none is repeated, and that a key was lost shows in
        nothing but time."""
        return Relist(f"nothing leads from revision {self._revision} to the newest head")

    def copy(self) -> StateCopy | None:
        """The shown state for the disk, None before the first."""
        if self._store is None:
            return None
        fencing = self._fencing.get(self._store, 0)
        return StateCopy(self._store, fencing, self._revision, str(self._digest), dict(self._state))

    def restore(self, copy: StateCopy) -> FullState:
        """Begin with the last copy of an earlier run."""
        self._fencing[copy.store] = copy.fencing
        self._take(copy.store, copy.revision, copy.records)
        return self._full(from_disk=True)

    def begin_watch(self) -> None:
        """A new watch of the bucket begins: it will show everything again."""
        self._view = BucketView()
        self._heads = {}
        self._newest = None

    def record(self, key: str, record: ConfigRecord) -> None:
        """The watch showed a record; nothing is applied before its head."""
        self._view.put(key, record)

    def purged(self, key: str) -> None:
        """The watch showed that a key, a tombstone for long, left the bucket."""
        self._view.remove(key)

    def listed(self) -> tuple[Output, ...]:
        """The watch has shown everything that the bucket held when it began."""
        self._view.listed = True
        return () if self._newest is None else self._advance(self._newest, repeated=False)

    def head(self, head: Head) -> tuple[Output, ...]:
        """The watch showed a head."""
        if (refused := self._refused(head.store, head.fencing)) is not None:
            return (refused,)
        newest = self._newest
        if newest is not None and head.store != newest.store:
            self._heads = {}
            newest = None
        # A new publisher begins with the old head; only the same one repeats it because it has nothing more to write.
        repeated = newest is not None and (newest.revision, newest.fencing) == (head.revision, head.fencing)
        if newest is None or head.revision >= newest.revision:
            self._newest = head
        return self._advance(head, repeated=repeated)

    def full_list(self, copy: StateCopy) -> tuple[Output, ...]:
        """Galley answered with everything at one revision; its digest was checked when it was decoded."""
        if (refused := self._refused(copy.store, copy.fencing)) is not None:
            return (refused,)
        if copy.store == self._store and copy.revision <= self._revision:
            known = copy.revision < self._revision or copy.digest == str(self._digest)
            if known:
                return ()
        return (self._replace(copy.store, copy.revision, copy.records, None), *self._chain())

    def _refused(self, store: str, fencing: int) -> Refused | None:
        if store in self._left:
            return Refused(f"store {store} was left")
        known = self._fencing.get(store, 0)
        if fencing < known:
            return Refused(f"fencing number {fencing} is lower than {known}")
        self._fencing[store] = fencing
        return None

    def _advance(self, head: Head, *, repeated: bool) -> tuple[Output, ...]:
        if head.store == self._store:
            if head.revision < self._revision:
                return ()
            if head.revision == self._revision:
                return () if head.digest == str(self._digest) else self._from_view(head, repeated=True)
            self._heads[head.revision] = head
            outputs = self._chain()
            if outputs or (not repeated and self._reaches_back(head)):
                return outputs
        return self._from_view(head, repeated=repeated)

    def _reaches_back(self, head: Head) -> bool:
        """Whether the heads from the shown revision to this one are all there; their keys may still come."""
        while head.previous > self._revision:
            before = self._heads.get(head.previous)
            if before is None:
                return False
            head = before
        return head.previous == self._revision

    def _chain(self) -> tuple[Output, ...]:
        """Apply the heads that follow the shown revision, each alone if it can be, else with those that overwrote
        it."""
        outputs: list[Output] = []
        while (step := self._next_step()) is not None:
            head, records = step
            digest = self._digest.copy()
            for key, record in records.items():
                _account(digest, self._state.get(key), record)
            if str(digest) != head.digest:
                outputs.append(Relist(f"revision {head.revision} does not have the digest its head names"))
                self._drop_heads(head.revision)
                break
            outputs.append(self._apply(head, records))
        return tuple(outputs)

    def _next_step(self) -> tuple[Head, dict[str, ConfigRecord]] | None:
        """The shortest run of heads whose last writers of each key are all in view."""
        by_previous = {head.previous: head for head in self._heads.values()}
        wanted: dict[str, Head] = {}
        at = self._revision
        while (head := by_previous.get(at)) is not None:
            at = head.revision
            wanted |= dict.fromkeys(head.keys, head)
            found = self._found(wanted)
            if found is not None:
                return head, found
        return None

    def _found(self, wanted: Mapping[str, Head]) -> dict[str, ConfigRecord] | None:
        found: dict[str, ConfigRecord] = {}
        for key, head in wanted.items():
            record = self._view.get(key)
            if record is None or record.store != self._store or not head.previous < record.revision <= head.revision:
                return None
            found[key] = record
        return found

    def _apply(self, head: Head, records: Mapping[str, ConfigRecord]) -> ChangeSet:
        changes: list[tuple[str, ConfigRecord, ConfigRecord | None]] = []
        for key, record in records.items():
            before = self._state.get(key)
            _account(self._digest, before, record)
            if record.deleted:
                self._state.pop(key, None)
            else:
                self._state[key] = record
            if before is not None or not record.deleted:
                changes.append((key, record, before))
        previous, self._revision = self._revision, head.revision
        self._drop_heads(head.revision)
        return _change_set(head, previous, changes)

    def _from_view(self, head: Head, *, repeated: bool) -> tuple[Output, ...]:
        """Take the whole view as the state at this head if their digests agree. If not, the publisher may be in the
        middle of the next revision; only when the same head comes again is something lost."""
        if self._view.listed and self._view.digest == head.digest:
            return (self._replace(head.store, head.revision, self._view.living(), head),)
        if self._view.listed and repeated:
            return (Relist(f"the bucket does not lead to revision {head.revision}"),)
        return ()

    def _replace(self, store: str, revision: int, records: Mapping[str, ConfigRecord], head: Head | None) -> Output:
        """Go to another whole state: as one change set within a store, as a full state when the store is another."""
        if store != self._store or revision <= self._revision:
            self._take(store, revision, records)
            return self._full(from_disk=False)
        changes: list[tuple[str, ConfigRecord, ConfigRecord | None]] = []
        for key, record in records.items():
            before = self._state.get(key)
            if before is None or before.digest != record.digest:
                changes.append((key, record, before))
        newest = max(records.values(), key=lambda record: record.revision, default=None)
        origin = head or newest
        for key, before in self._state.items():
            if key not in records:
                changes.append((key, _tombstone(before, revision), before))
        previous = self._revision
        self._take(store, revision, records)
        if origin is None:
            return self._full(from_disk=False)
        return ChangeSet(
            store, revision, previous, origin.traceparent, origin.commit_time, tuple(_sorted_changes(changes))
        )

    def _take(self, store: str, revision: int, records: Mapping[str, ConfigRecord]) -> None:
        if self._store is not None and store != self._store:
            self._left.add(self._store)
        self._store, self._revision = store, revision
        self._state = dict(records)
        self._digest = SetDigest()
        for record in records.values():
            self._digest.add(record.digest)
        self._drop_heads(revision)

    def _drop_heads(self, revision: int) -> None:
        self._heads = {number: head for number, head in self._heads.items() if number > revision}

    def _full(self, *, from_disk: bool) -> FullState:
        entries = {parse_kv_key(key): record for key, record in self._state.items()}
        return FullState(self._store or "", self._revision, str(self._digest), entries, from_disk)


def _account(digest: SetDigest, before: ConfigRecord | None, after: ConfigRecord) -> None:
    if before is not None:
        digest.remove(before.digest)
    if not after.deleted:
        digest.add(after.digest)


def _tombstone(before: ConfigRecord, revision: int) -> ConfigRecord:
    """A deletion that was not seen itself, only that the object is gone at this revision."""
    return ConfigRecord(before.store, revision, "", before.traceparent, before.commit_time, True, b"{}")


def _change_set(
    head: Head, previous: int, changes: Iterable[tuple[str, ConfigRecord, ConfigRecord | None]]
) -> ChangeSet:
    return ChangeSet(
        head.store, head.revision, previous, head.traceparent, head.commit_time, tuple(_sorted_changes(changes))
    )


def _sorted_changes(changes: Iterable[tuple[str, ConfigRecord, ConfigRecord | None]]) -> list[Change]:
    return [
        Change(parse_kv_key(key), record, before) for key, record, before in sorted(changes, key=lambda one: one[0])
    ]
