"""The store on SQLite and PostgreSQL: what it promises in the docstring of `Store`."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from galley.adapters.store import Store, tables
from galley.adapters.store.outbox import read_unpublished
from galley.adapters.store.pending import MOST_BYTES, Commit, Pending
from galley.core.publishing import Unpublished, pile
from galley.core.retention import Retention
from galley.core.storage import ChangeSet, ChangeType, Verb, WriteOp
from meshcore.distribution.keys import Key
from meshcore.distribution.records import Head
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import func, select

GROUP, PLURAL = "networking.istio.io", "virtualservices"


def key(name: str, namespace: str = "default") -> Key:
    return Key(GROUP, PLURAL, namespace, name)


def op(verb: Verb, name: str, spec: object = 1, **more: object) -> WriteOp:
    document = {"kind": "VirtualService", "spec": spec, "metadata": {"labels": {"app": name}}}
    return WriteOp(verb, key(name), document, {"kind": "VirtualService", "spec": spec}, **more)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(database: str, clock: Clock):
    async with await Store.open(database, clock=clock, retention=Retention(revisions=5)) as opened:
        yield opened


async def take(store: Store, after: int, count: int) -> list[ChangeSet]:
    taken: list[ChangeSet] = []
    async with asyncio.timeout(60), contextlib.aclosing(store.subscribe(after)) as watch:
        async for change_set in watch:
            taken.append(change_set)
            if len(taken) == count:
                break
    return taken


async def rows(store: Store, table) -> int:
    return await store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))


async def test_a_change_set_is_one_revision(store: Store):
    result = await store.write([op(Verb.CREATE, name) for name in "abc"], "alice", "00-trace-span-01")
    assert result.revision == 1
    page = await store.list(GROUP, PLURAL)
    assert [(item.key.name, item.revision) for item in page.items] == [("a", 1), ("b", 1), ("c", 1)]
    (change_set,) = await take(store, 0, 1)
    assert (change_set.author, change_set.traceparent) == ("alice", "00-trace-span-01")
    assert [change.type for change in change_set.changes] == [ChangeType.ADDED] * 3


async def test_a_change_set_with_one_bad_part_leaves_nothing_but_its_audit_row(store: Store):
    with pytest.raises(MeshError) as raised:
        await store.write([op(Verb.CREATE, "a"), op(Verb.DELETE, "absent")], "alice")
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert await store.revision() == 0
    assert (await store.list(GROUP, PLURAL)).items == ()
    assert (await rows(store, tables.outbox), await rows(store, tables.audit)) == (0, 1)


async def test_two_writers_with_the_same_resource_version(store: Store):
    version = (await store.write([op(Verb.CREATE, "a")], "x")).objects[0].resource_version
    outcomes = await asyncio.gather(
        *(store.write([op(Verb.UPDATE, "a", n, resource_version=version)], f"writer-{n}") for n in (5, 6)),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, MeshError)]
    assert (len(won), [error.code for error in lost]) == (1, [ErrorCode.CONFLICT])
    assert (await store.get(key("a"))).object["spec"] == won[0].objects[0].object["spec"]


async def test_writes_that_share_a_commit_keep_their_own_outcome_revision_and_audit_row(store: Store):
    writes = [store.write([op(Verb.CREATE, f"n{number // 2}")], f"author-{number}") for number in range(100)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    created = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert sorted(result.revision for result in created) == list(range(1, 51))
    assert {error.code for error in outcomes if isinstance(error, MeshError)} == {ErrorCode.ALREADY_EXISTS}
    assert await rows(store, tables.audit) == 100
    seen = await take(store, 0, 50)
    assert [change_set.revision for change_set in seen] == list(range(1, 51))


async def test_a_bug_in_one_write_does_not_fail_its_neighbours(store: Store):
    poison = op(Verb.CREATE, "poison", object())
    outcomes = await asyncio.gather(
        store.write([op(Verb.CREATE, "a")], "x"),
        store.write([poison], "x"),
        store.write([op(Verb.CREATE, "b")], "x"),
        return_exceptions=True,
    )
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert len((await store.list(GROUP, PLURAL)).items) == 2


async def test_the_object_comes_back_as_the_user_wrote_it(store: Store):
    written = {
        "spec": {"z": 1, "a": [None, 1.5, "é"]},
        "kind": "VirtualService",
        "metadata": {"annotations": {"k": "v"}},
    }
    await store.write([WriteOp(Verb.CREATE, key("a"), written, {"spec": {"other": True}})], "x")
    stored = await store.get(key("a"))
    assert list(stored.object["spec"]) == ["z", "a"]
    assert stored.document()["spec"] == written["spec"]
    assert stored.normalised_document()["spec"] == {"other": True}


async def test_status_is_seen_by_watchers_but_neither_published_nor_in_history(store: Store):
    await store.write([op(Verb.CREATE, "a")], "x")
    stored = await store.write_status(key("a"), {"ok": True}, "pilot")
    assert (stored.revision, stored.generation) == (2, 1)
    (change_set,) = await take(store, 1, 1)
    assert not change_set.is_config
    assert change_set.changes[0].document["status"] == {"ok": True}
    assert [entry.revision for entry in await store.history(key("a"))] == [1]
    assert (await store.published_state()).head.revision == 1
    assert await store.unpublished(1) == []


async def test_history_and_reads_as_of_a_revision(store: Store):
    await store.write([op(Verb.CREATE, "a", 1)], "alice")
    await store.write([op(Verb.UPDATE, "a", 2)], "bob")
    await store.write([op(Verb.CREATE, "b", 1)], "bob")
    await store.write([WriteOp(Verb.DELETE, key("a"))], "carol")
    history = await store.history(key("a"))
    assert [(entry.revision, entry.type, entry.author) for entry in history] == [
        (1, ChangeType.ADDED, "alice"),
        (2, ChangeType.MODIFIED, "bob"),
        (4, ChangeType.DELETED, "carol"),
    ]
    assert (await store.get(key("a"), as_of=1)).object["spec"] == 1
    assert (await store.get(key("a"), as_of=3)).object["spec"] == 2
    for absent in (0, 4):
        with pytest.raises(MeshError) as raised:
            await store.get(key("a"), as_of=absent)
        assert raised.value.code is ErrorCode.NOT_FOUND
    assert [item.key.name for item in (await store.list(GROUP, PLURAL, as_of=3)).items] == ["a", "b"]
    assert [item.key.name for item in (await store.list(GROUP, PLURAL)).items] == ["b"]
    with pytest.raises(MeshError) as raised:
        await store.get(key("a"), as_of=99)
    assert raised.value.code is ErrorCode.GONE


async def test_all_pages_of_a_list_are_at_the_revision_of_the_first(store: Store):
    await store.write([op(Verb.CREATE, f"n{number}") for number in range(5)], "x")
    first = await store.list(GROUP, PLURAL, "default", limit=2)
    await store.write([WriteOp(Verb.DELETE, key("n3")), op(Verb.CREATE, "n9"), op(Verb.UPDATE, "n4", 7)], "x")
    second = await store.list(GROUP, PLURAL, "default", limit=2, continue_=first.continue_)
    third = await store.list(GROUP, PLURAL, "default", limit=2, continue_=second.continue_)
    names = [item.key.name for page in (first, second, third) for item in page.items]
    assert names == ["n0", "n1", "n2", "n3", "n4"]
    assert (third.continue_, third.items[0].object["spec"], third.revision) == (None, 1, 1)
    assert [item.key.name for item in (await store.list(GROUP, PLURAL, "default")).items][-1] == "n9"


async def test_compaction_is_in_whole_revisions_and_watches_from_before_are_gone(store: Store, clock: Clock):
    for number in range(4):
        await store.write([op(Verb.CREATE, f"n{number}")], "x")
    await store.write([op(Verb.UPDATE, "n0", 2)], "x")
    await store.write([WriteOp(Verb.DELETE, key("n1"))], "x")
    await store.forget_published(6)
    clock.now += timedelta(days=31)
    for number in range(5):
        await store.write([op(Verb.UPDATE, "n2", number + 10)], "x")
    await store.forget_published(11)
    floors = await store.compact()
    assert (floors.history, floors.watch) == (6, 6)
    assert (await store.get(key("n0"), as_of=7)).object["spec"] == 2
    assert [item.key.name for item in (await store.list(GROUP, PLURAL, as_of=6)).items] == ["n0", "n2", "n3"]
    assert (await store.get(key("n2"), as_of=6)).object["spec"] == 1
    for read in (store.get(key("n2"), as_of=5), take(store, 5, 1)):
        with pytest.raises(MeshError) as raised:
            await read
        assert raised.value.code is ErrorCode.GONE
    assert [change_set.revision for change_set in await take(store, 6, 5)] == [7, 8, 9, 10, 11]
    assert [entry.revision for entry in await store.history(key("n2"))] == [7, 8, 9, 10, 11]
    before = await store.published_state()
    assert len(before.records) == 3


async def test_a_watch_sees_every_revision_once_while_writers_write(store: Store):
    async def write(many: int) -> None:
        for number in range(many):
            await store.write([op(Verb.CREATE, f"n{number}-{id(asyncio.current_task())}")], "x")

    watch = asyncio.ensure_future(take(store, 0, 90))
    await asyncio.gather(write(30), write(30), write(30))
    assert [change_set.revision for change_set in await watch] == list(range(1, 91))
    late = await take(store, 40, 50)
    assert [change_set.revision for change_set in late] == list(range(41, 91))


async def test_a_watch_tells_the_labels_from_before(store: Store):
    await store.write([op(Verb.CREATE, "a")], "x")
    await store.write([WriteOp(Verb.UPDATE, key("a"), {"metadata": {"labels": {"app": "b"}}, "spec": 1}, {})], "x")
    created, changed = await take(store, 0, 2)
    assert created.changes[0].previous_labels is None
    assert changed.changes[0].previous_labels == {"app": "a"}


async def test_the_outbox_and_the_digest_follow_every_write(store: Store):
    await store.write([op(Verb.CREATE, "a"), op(Verb.CREATE, "b")], "x")
    await store.write([op(Verb.UPDATE, "a", 2), WriteOp(Verb.DELETE, key("b"))], "x")
    first, second = await store.unpublished(0)
    assert await store.unpublished(0, 1) == [first]
    assert await store.unpublished(1) == [second]
    assert (first.head.previous, second.head.previous) == (0, 1)
    assert len(second.messages) == 2
    assert second.deleted == (str(key("b")),)
    state = await store.published_state()
    assert state.head.digest == second.head.digest
    assert list(state.records) == [str(key("a"))]


async def test_what_is_remembered_for_the_publisher_is_what_the_outbox_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    def in_sql(after: int):
        return store._database.read(lambda connection: read_unpublished(connection, after, 64))

    await store.write([op(Verb.CREATE, "b"), op(Verb.CREATE, "a")], "x", "00-aa-bb-01")
    await store.write_status(key("a"), {"ok": True}, "x")
    await store.write([WriteOp(Verb.DELETE, key("b")), op(Verb.UPDATE, "a", 2)], "x")
    monkeypatch.setattr("galley.adapters.store.outbox.read_unpublished", None)
    remembered = {after: await store.unpublished(after) for after in range(4)}
    assert remembered == {after: await in_sql(after) for after in range(4)}
    assert [len(found) for found in remembered.values()] == [2, 1, 1, 0]
    await store.forget_published(1)
    assert [one.head.revision for one in await store.unpublished(1)] == [3]


def commit(revision: int, size: int = 1) -> Commit:
    head = Head("s", 0, revision, revision - 1, ("k",), "", "", Clock().now)
    return Commit(
        ChangeSet(revision, head.commit_time, "x", "", (), is_config=True),
        Unpublished(head, (("k", b"x" * size),), ()),
    )


def test_a_run_of_own_revisions_begins_anew_after_anothers_and_where_it_grows_too_large():
    pending = Pending()
    assert pending.after(0, 0) == []
    assert pending.after(0, 7) is None
    pending.announce([commit(8), commit(9)])
    assert pending.after(6, 9) is None
    assert [one.head.revision for one in pending.after(7, 9) or ()] == [8, 9]
    assert pending.after(8, 10) is None
    pending.announce([commit(11), commit(12)])
    assert pending.after(9, 12) is None
    assert [one.head.revision for one in pending.after(10, 12) or ()] == [11, 12]
    pending.announce([commit(13, MOST_BYTES)])
    assert pending.after(11, 13) is None
    assert [one.head.revision for one in pending.after(12, 13) or ()] == [13]
    pending.forget(13)
    assert pending.after(13, 13) == []


async def test_what_waits_is_published_as_one_step_for_as_far_as_it_is_whole(store: Store):
    await store.write([op(Verb.CREATE, "a"), op(Verb.CREATE, "b")], "x")
    await store.write_status(key("a"), {"ok": True}, "x")
    await store.write([op(Verb.UPDATE, "a", 2), WriteOp(Verb.DELETE, key("b"))], "x")
    await store.write([op(Verb.CREATE, "b", 3)], "x")
    await store.write([WriteOp(Verb.DELETE, key("a"))], "x")
    waiting = await store.unpublished(0)
    first, second, third, fourth = waiting
    step = pile(waiting, 0)
    assert step is not None
    assert step.head == replace(fourth.head, previous=0, keys=(str(key("a")), str(key("b"))))
    assert step.messages == (*fourth.messages, *third.messages)
    assert step.deleted == (str(key("a")),)
    assert pile([first], 0) == first
    assert pile(waiting[1:], 0) is None
    torn = replace(third, messages=())
    assert pile([second, torn, fourth], 1) == second
    assert pile([torn, fourth], 3) is None


async def test_an_object_that_cannot_travel_is_too_large(store: Store):
    with pytest.raises(MeshError) as raised:
        await store.write([op(Verb.CREATE, "a", "x" * 1_000_000)], "x")
    assert raised.value.code is ErrorCode.TOO_LARGE
    assert await store.revision() == 0


async def test_a_store_that_is_opened_again_goes_on_where_it_was(store: Store, database: str):
    await store.write([op(Verb.CREATE, "a")], "x")
    first = await store.store_id()
    await store.close()
    async with await Store.open(database) as again:
        assert await again.store_id() == first
        assert (await again.write([op(Verb.CREATE, "b")], "x")).revision == 2
        assert [change_set.revision for change_set in await take(again, 0, 2)] == [1, 2]


async def test_rules_are_found_by_the_host_that_they_are_about(store: Store):
    hosts = {"a": "a.ns.svc", "b": "b.ns.svc", "any": "*.ns.svc", "list": ["a.ns.svc"]}
    for namespace in ("here", "there"):
        documents = {key(name, namespace): {"name": name, "spec": {"host": host}} for name, host in hosts.items()}
        creates = [WriteOp(Verb.CREATE, one, {"spec": 1}, document) for one, document in documents.items()]
        await store.write(creates, "x")
    await store.write([WriteOp(Verb.CREATE, key("plain", "here"), {"spec": 1}, {"spec": 1})], "x")
    found = await store.published_for_hosts(GROUP, PLURAL, ["here", "absent"], ["a.ns.svc", "c.ns.svc"])
    assert sorted(rule["name"] for rule in found) == ["a", "any"]
    assert await store.published_for_hosts(GROUP, "others", ["here"], ["a.ns.svc"]) == []


async def test_maintenance_goes_on_after_a_failure_that_nobody_foresaw(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, again = [], asyncio.Event()

    async def poll() -> None:
        if failed:
            again.set()
        failed.append(1)
        raise TypeError

    monkeypatch.setattr(store._database, "alone", False)
    monkeypatch.setattr(store._feed, "poll", poll)
    async with asyncio.timeout(20):
        await again.wait()
