"""The assembler: what it shows of a bucket, and when it asks for a list, situation by situation."""

from __future__ import annotations

import pytest
from meshcore.distribution.assembler import Assembler
from meshcore.distribution.events import ChangeSet, FullState, Refused, Relist
from meshcore.distribution.records import Head
from model_store import KEYS, NOW, ModelStore


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
