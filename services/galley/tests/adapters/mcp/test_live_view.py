"""The view follows the store, also where the store no longer knows every step."""

import asyncio

import pytest
from galley.adapters.mcp.live_view import LiveView
from galley.core.mcp.kinds import KIND_OF_KEY
from galley.core.storage import Verb
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks

from .conftest import Galley

KIND = KIND_OF_KEY[("networking.istio.io", "serviceentries")]


@pytest.fixture
async def view(store):
    found = LiveView(store, quiet=0.01, longest=0.1)
    async with tasks.background(found.follow(), name="view"):
        yield found


async def until(view, names):
    seen = None
    async with asyncio.timeout(60):
        while True:
            seen = await view.after(seen)
            if set(seen.of(KIND).entries) == names:
                return seen


async def test_nothing_is_read_before_somebody_asks(store, view, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "list", lambda *_: asked.append(1))
    await asyncio.sleep(0)
    assert asked == []


async def test_what_history_does_not_have_is_read_from_the_store(store, view, monkeypatch):
    """Changes of another replica come from SQL, which keeps what the author wrote and not what consumers get."""
    galley = Galley(store, None, None)

    async def from_history(revision):
        while await store.wait_beyond(revision):
            for change_set in await store.change_sets(revision):
                assert all(change.object.normalised is None for change in change_set.changes)
                yield change_set
                revision = change_set.revision

    monkeypatch.setattr(store, "subscribe", from_history)
    await until(view, set())
    await galley.write(Verb.CREATE, "theirs")
    await until(view, {"shop/theirs"})
    await galley.write(Verb.CREATE, "gone")
    await galley.write(Verb.DELETE, "gone")
    await galley.write(Verb.CREATE, "more")
    await until(view, {"shop/theirs", "shop/more"})


async def test_a_burst_becomes_few_views(store, view):
    galley = Galley(store, None, None)
    await until(view, set())
    seen, views = None, 0

    async def count():
        nonlocal seen, views
        while True:
            seen = await view.after(seen)
            views += 1

    async with tasks.background(count(), name="count"):
        await asyncio.gather(*(galley.write(Verb.CREATE, f"n{number}") for number in range(40)))
        await until(view, {f"shop/n{number}" for number in range(40)})
    assert views <= 20


async def test_after_a_compaction_everything_is_listed_again(store, view, monkeypatch):
    galley = Galley(store, None, None)
    subscribe, refused = store.subscribe, []

    async def gone():
        raise MeshError(ErrorCode.GONE, "compacted")
        yield

    def once_gone(revision):
        if refused:
            return subscribe(revision)
        refused.append(revision)
        return gone()

    monkeypatch.setattr(store, "subscribe", once_gone)
    await galley.write(Verb.CREATE, "a")
    await until(view, {"shop/a"})
    await galley.write(Verb.CREATE, "b")
    await until(view, {"shop/a", "shop/b"})
    assert len(refused) == 1
