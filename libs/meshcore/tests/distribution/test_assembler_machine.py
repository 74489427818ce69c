"""The assembler against a model of store, publisher and bucket, with every interleaving that Hypothesis can think
of."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from meshcore.distribution.assembler import Assembler
from meshcore.distribution.events import ChangeSet, FullState, Relist
from meshcore.distribution.keys import Key
from meshcore.distribution.records import ConfigRecord, Head
from meshcore.distribution.state_copy import decode_state, encode_state
from model_store import KEYS, ModelStore


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
