"""The assembler against a model of store, publisher and bucket, with every interleaving that Hypothesis can think
of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from meshcore.distribution.assembler import Assembler
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.events import ChangeSet, FullState, Refused, Relist
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import ConfigRecord, Head, make_record
from meshcore.distribution.state_copy import StateCopy, decode_state, encode_state

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = [kv_key("g", "things", "ns", name) for name in "abcde"]


class ModelStore:
    """Every state that was ever published, by revision; what a head of each revision says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.states: dict[int, dict[str, ConfigRecord]] = {0: {}}
        self.written: dict[int, tuple[int, dict[str, ConfigRecord]]] = {0: (0, {})}
        self.revision = 0

    def commit(self, revision: int, edits: dict[str, int | None]) -> None:
        state = dict(self.states[self.revision])
        records = {
            key: make_record(key, self.name, revision, None if value is None else {"v": value}, "", NOW)
            for key, value in edits.items()
        }
        for key, record in records.items():
            if record.deleted:
                state.pop(key, None)
            else:
                state[key] = record
        self.states[revision] = state
        self.written[revision] = (self.revision, records)
        self.revision = revision

    def head(self, revision: int, fencing: int) -> Head:
        previous, records = self.written[revision]
        return Head(self.name, fencing, revision, previous, tuple(records), self.digest(revision), "", NOW)

    def step(self, published: int, most: int, fencing: int) -> list[tuple[str, ConfigRecord] | Head]:
        """What a publisher writes: the last records of at most so many revisions after the published one, and a
        head."""
        revisions = sorted(number for number in self.written if number > published)[:most]
        records: dict[str, ConfigRecord] = {}
        for number in revisions:
            records |= self.written[number][1]
        newest = revisions[-1]
        head = Head(self.name, fencing, newest, published, tuple(records), self.digest(newest), "", NOW)
        return [*records.items(), head]

    def digest(self, revision: int) -> str:
        total = SetDigest()
        for record in self.states[revision].values():
            total.add(record.digest)
        return str(total)

    def copy(self, fencing: int) -> StateCopy:
        state = self.states[self.revision]
        return StateCopy(self.name, fencing, self.revision, self.digest(self.revision), state)


class Mesh(RuleBasedStateMachine):
    """One store, publishers that die at any key, a bucket that keeps the last value, one consumer with a bad
    network."""

    def __init__(self) -> None:
        super().__init__()
        self.store = ModelStore("s0")
        self.stores = {"s0": self.store}
        self.fencing = 1
        self.published = 0
        self.plan: list[tuple[str, ConfigRecord] | Head] = []
        self.bucket: dict[str, ConfigRecord] = {}
        self.bucket_head: Head | None = None
        self.wire: list[tuple[str, object]] = []
        self.sent: list[tuple[str, object]] = []
        self.consumer = Assembler()
        self.shown: dict[Key, ConfigRecord] | None = None
        self.shown_at: tuple[str, int] = ("", -1)
        self.relist: str | None = None
        self.disturbed = False

    @initialize()
    def watch(self) -> None:
        self.reconnect(True)

    # -- the store and its publisher

    @rule(
        edits=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 3) | st.none(), min_size=1), skip=st.integers(1, 3)
    )
    def commit(self, edits: dict[str, int | None], skip: int) -> None:
        self.store.commit(self.store.revision + skip, edits)

    @rule(steps=st.integers(1, 8), most=st.integers(1, 3))
    def publish(self, steps: int, most: int) -> None:
        for _ in range(steps):
            if not self.plan:
                if self.published == self.store.revision:
                    self._put_head(self.store.head(self.published, self.fencing))
                    return
                self.plan = self.store.step(self.published, most, self.fencing)
            step = self.plan.pop(0)
            if isinstance(step, Head):
                self._put_head(step)
                self.published = step.revision
            else:
                self._put(*step)

    @rule()
    def publisher_dies(self) -> None:
        self.plan = []
        self.fencing += 1

    @rule(back=st.integers(1, 3))
    def zombie_writes_old_things(self, back: int) -> None:
        """A publisher that lost its lease and does not know."""
        if self.fencing == 1 or self.bucket_head is None or self.bucket_head.fencing < self.fencing:
            return
        revisions = sorted(n for n in self.store.written if n <= self.published)
        revision = revisions[-min(back, len(revisions))]
        self._send("head", self.store.head(revision, self.fencing - 1))

    @precondition(lambda self: not self.plan)
    @rule()
    def bucket_is_lost_and_published_again(self) -> None:
        self.bucket, self.bucket_head, self.wire = {}, None, []
        self._republish()
        self.reconnect(True)

    @precondition(lambda self: len(self.stores) < 3)
    @rule(edits=st.dictionaries(st.sampled_from(KEYS), st.integers(4, 6), min_size=1))
    def store_is_replaced(self, edits: dict[str, int | None]) -> None:
        self.store = ModelStore(f"s{len(self.stores)}")
        self.stores[self.store.name] = self.store
        self.fencing, self.plan = 1, []
        self.store.commit(1, edits)
        self._republish()

    def _republish(self) -> None:
        state = self.store.states[self.store.revision]
        for key, record in state.items():
            if self.bucket.get(key) != record:
                self._put(key, record)
        for key in [key for key in self.bucket if key not in state]:
            del self.bucket[key]
            self._send("purged", key)
        self.published = self.store.revision
        self._put_head(self.store.head(self.published, self.fencing))

    def _put(self, key: str, record: ConfigRecord) -> None:
        self.bucket[key] = record
        self._send("record", (key, record))

    def _put_head(self, head: Head) -> None:
        self.bucket_head = head
        self._send("head", head)

    def _send(self, kind: str, what: object) -> None:
        self.wire.append((kind, what))

    # -- the network and the consumer

    @rule(many=st.integers(1, 12))
    def deliver(self, many: int) -> None:
        for _ in range(min(many, len(self.wire))):
            message = self.wire.pop(0)
            self.sent.append(message)
            self._consume(message)

    @precondition(lambda self: len(self.wire) > 1)
    @rule(position=st.integers(0, 5))
    def overtake(self, position: int) -> None:
        self.disturbed = True
        self._consume(self.wire.pop(min(position, len(self.wire) - 1)))

    @precondition(lambda self: self.wire)
    @rule(position=st.integers(0, 5))
    def lose(self, position: int) -> None:
        self.disturbed = True
        self.wire.pop(min(position, len(self.wire) - 1))

    @precondition(lambda self: self.sent and len(self.stores) == 1)
    @rule(back=st.integers(1, 6))
    def repeat_an_old_message(self, back: int) -> None:
        self.disturbed = True
        self._consume(self.sent[-min(back, len(self.sent))])

    @rule(head_first=st.booleans())
    def reconnect(self, head_first: bool) -> None:
        self.wire, self.sent = [], []
        self.consumer.begin_watch()
        messages: list[tuple[str, object]] = [("record", item) for item in self.bucket.items()]
        if self.bucket_head is not None:
            messages.insert(0 if head_first else len(messages), ("head", self.bucket_head))
        for message in messages:
            self._consume(message)
        self._seen(self.consumer.listed())

    @rule()
    def restart_from_disk(self) -> None:
        copy = self.consumer.copy()
        self.consumer = Assembler()
        self.shown, self.shown_at = None, ("", -1)
        if copy is not None:
            self._seen((self.consumer.restore(decode_state(encode_state(copy))),))
        self.reconnect(False)

    @precondition(lambda self: self.relist)
    @rule()
    def ask_galley(self) -> None:
        self.relist = None
        self._seen(self.consumer.full_list(self.store.copy(self.fencing)))

    def _consume(self, message: tuple[str, object]) -> None:
        kind, what = message
        if kind == "record":
            self.consumer.record(*what)
        elif kind == "purged":
            self.consumer.purged(what)
        else:
            self._seen(self.consumer.head(what))

    def _seen(self, outputs: tuple[object, ...]) -> None:
        for output in outputs:
            if isinstance(output, Relist):
                assert self.disturbed, "a watch that lost nothing never has to ask"
                self.relist = output.reason
            elif isinstance(output, FullState):
                self.shown = dict(output.entries)
                self.shown_at = (output.store, output.revision)
            elif isinstance(output, ChangeSet):
                assert self.shown is not None
                assert (output.store, output.previous) == self.shown_at
                assert output.revision > output.previous
                for change in output.changes:
                    assert self.shown.get(change.key) == change.previous
                    if change.deleted:
                        self.shown.pop(change.key)
                    else:
                        self.shown[change.key] = change.record
                self.shown_at = (output.store, output.revision)
            self.no_mixture()

    @invariant()
    def no_mixture(self) -> None:
        if self.shown is None:
            return
        store, revision = self.shown_at
        shown = {str(key): record.digest for key, record in self.shown.items()}
        assert shown == {key: record.digest for key, record in self.stores[store].states[revision].items()}

    def teardown(self) -> None:
        """Whatever happened: when the network is well again, repeated heads and Galley's answers lead to the truth."""
        self.plan = []
        for _ in range(len(self.store.written)):
            self.publish(100, 1)
        self.deliver(10_000)
        for _ in range(3):
            self.publish(1, 1)
            self.deliver(10_000)
            if self.relist:
                self.ask_galley()
                self.reconnect(True)
        assert self.shown_at == (self.store.name, self.store.revision)
        self.no_mixture()
        assert self.consumer.in_sync


TestMesh = Mesh.TestCase
TestMesh.settings = settings(
    derandomize=True, max_examples=250, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def store() -> ModelStore:
    store = ModelStore("s0")
    store.commit(1, {KEYS[0]: 1, KEYS[1]: 1})
    store.commit(2, {KEYS[0]: 2, KEYS[1]: 2})
    store.commit(3, {KEYS[0]: 3})
    return store


def consumer_at(store: ModelStore, revision: int) -> Assembler:
    consumer = Assembler()
    consumer.begin_watch()
    for key, record in store.states[revision].items():
        consumer.record(key, record)
    assert consumer.head(store.head(revision, 5)) == ()
    (full,) = consumer.listed()
    assert isinstance(full, FullState)
    assert full.revision == revision
    return consumer


def test_nothing_is_shown_before_the_head(store: ModelStore):
    consumer = consumer_at(store, 1)
    for key, record in store.written[2][1].items():
        consumer.record(key, record)
    assert consumer.revision == 1
    (applied,) = consumer.head(store.head(2, 5))
    assert isinstance(applied, ChangeSet)
    assert [str(change.key) for change in applied.changes] == KEYS[:2]
    assert (applied.previous, applied.revision) == (1, 2)


def test_a_key_overwritten_by_a_later_revision_joins_both_into_one_step(store: ModelStore):
    consumer = consumer_at(store, 1)
    consumer.record(KEYS[1], store.written[2][1][KEYS[1]])
    consumer.record(KEYS[0], store.written[3][1][KEYS[0]])
    assert consumer.head(store.head(2, 5)) == ()
    (applied,) = consumer.head(store.head(3, 5))
    assert isinstance(applied, ChangeSet)
    assert (applied.previous, applied.revision, len(applied.changes)) == (1, 3, 2)


def test_several_revisions_published_together_are_one_step(store: ModelStore):
    store.commit(4, {KEYS[1]: None})
    consumer = consumer_at(store, 1)
    *records, head = store.step(1, 3, 5)
    assert isinstance(head, Head)
    assert [record.revision for _, record in records] == [3, 4]
    for key, record in records[:1]:
        consumer.record(key, record)
    assert consumer.head(head) == ()
    consumer.record(*records[1])
    (applied,) = consumer.head(head)
    assert isinstance(applied, ChangeSet)
    assert (applied.previous, applied.revision, len(applied.changes)) == (1, 4, 2)


def test_a_lower_fencing_number_is_refused(store: ModelStore):
    consumer = consumer_at(store, 1)
    for key, record in store.written[2][1].items():
        consumer.record(key, record)
    (refused,) = consumer.head(store.head(2, 4))
    assert isinstance(refused, Refused)
    assert consumer.revision == 1


def test_keys_that_do_not_come_until_the_head_is_repeated_ask_for_a_list(store: ModelStore):
    consumer = consumer_at(store, 1)
    assert consumer.head(store.head(2, 5)) == ()
    assert not consumer.in_sync
    (asked,) = consumer.head(store.head(2, 5))
    assert isinstance(asked, Relist)
    (applied,) = consumer.full_list(store.copy(5))
    assert isinstance(applied, ChangeSet)
    assert applied.revision == 3
    assert consumer.in_sync


def test_a_consumer_that_lacks_a_key_waits_while_heads_follow_each_other_and_asks_when_it_has_stalled(
    store: ModelStore,
):
    consumer = consumer_at(store, 1)
    assert not consumer.waits
    consumer.record(KEYS[1], store.written[2][1][KEYS[1]])
    store.commit(4, {KEYS[2]: 4})
    for revision in (3, 4):
        assert consumer.head(store.head(2, 5)) == ()
        consumer.record(KEYS[2], store.states[4][KEYS[2]])
        store.written[revision] = (revision - 1, {KEYS[2]: store.states[4][KEYS[2]]})
        assert consumer.head(store.head(revision, 5)) == ()
        assert consumer.waits
    assert isinstance(consumer.stalled(), Relist)
    (applied,) = consumer.full_list(store.copy(5))
    assert isinstance(applied, ChangeSet)
    assert applied.revision == 4
    assert not consumer.waits


def test_another_digest_at_the_same_revision_asks_for_a_list(store: ModelStore):
    consumer = consumer_at(store, 3)
    head = store.head(3, 5)
    wrong = Head(head.store, 5, 3, head.previous, head.keys, "1" * 64, "", NOW)
    (asked,) = consumer.head(wrong)
    assert isinstance(asked, Relist)
    assert consumer.head(head) == ()


def test_a_new_store_with_lower_revisions_is_a_full_state_and_the_old_one_is_never_shown_again(store: ModelStore):
    consumer = consumer_at(store, 3)
    other = ModelStore("s1")
    other.commit(1, {KEYS[4]: 9})
    consumer.begin_watch()
    consumer.record(KEYS[4], other.states[1][KEYS[4]])
    consumer.head(other.head(1, 1))
    (full,) = consumer.listed()
    assert isinstance(full, FullState)
    assert (full.store, full.revision, len(full.entries)) == ("s1", 1, 1)
    (refused,) = consumer.head(store.head(3, 9))
    assert isinstance(refused, Refused)
    (refused,) = consumer.full_list(store.copy(9))
    assert isinstance(refused, Refused)


def test_a_bucket_in_the_middle_of_a_revision_is_not_listed_as_a_state(store: ModelStore):
    consumer = Assembler()
    consumer.begin_watch()
    consumer.head(store.head(1, 1))
    consumer.record(KEYS[0], store.written[2][1][KEYS[0]])
    consumer.record(KEYS[1], store.written[1][1][KEYS[1]])
    assert consumer.listed() == ()
    assert consumer.copy() is None
    consumer.record(KEYS[1], store.written[2][1][KEYS[1]])
    (full,) = consumer.head(store.head(2, 1))
    assert isinstance(full, FullState)
    assert full.revision == 2
