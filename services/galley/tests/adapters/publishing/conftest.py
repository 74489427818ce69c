"""Store, publisher, NATS with its users, and feeds, all real: what is committed reaches every consumer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from galley.adapters.bucket import ConfigBucket
from galley.adapters.list_responder import ListResponder
from galley.adapters.publisher import Publisher
from galley.adapters.store import Store
from galley.core.storage import Verb, WriteOp
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigFeed
from meshcore.bus.subjects import feed_permissions, galley_permissions
from meshcore.distribution.events import FullState
from meshcore.distribution.keys import Key
from meshcore.runtime.tasks import background
from meshcore.testing.nats import NatsServer, nats_server

DEADLINE = 60.0


def key(name: str) -> Key:
    return Key("networking.istio.io", "virtualservices", "default", name)


def write(verb: Verb, name: str, value: object = 1) -> WriteOp:
    document = {"kind": "VirtualService", "spec": {"v": value}}
    return WriteOp(verb, key(name), document, document)


async def eventually(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await reached():  # noqa: ASYNC110 - what is awaited lies in another process
            await asyncio.sleep(0.02)


class Consumer:
    """Reads a feed and remembers every state that it ever showed."""

    def __init__(self, server: NatsServer, last_copy: Path | None = None) -> None:
        self.bus = Bus(account(server, "pilot"))
        self.feed = ConfigFeed(self.bus, last_copy)
        self.values: dict[str, object] = {}
        self.store = ""
        self.revision = -1
        self.shown: list[tuple[int, dict[str, object]]] = []
        self._news = asyncio.Condition()

    async def run(self) -> None:
        async with self.bus, contextlib.aclosing(self.feed.events()) as events:
            async for event in events:
                if isinstance(event, FullState):
                    self.values = {key.name: record.object["spec"]["v"] for key, record in event.entries.items()}
                else:
                    assert event.previous == self.revision
                    for change in event.changes:
                        if change.object is None:
                            del self.values[change.key.name]
                        else:
                            self.values[change.key.name] = change.object["spec"]["v"]
                self.store, self.revision = event.store, event.revision
                self.shown.append((event.revision, dict(self.values)))
                async with self._news:
                    self._news.notify_all()

    async def until(self, reached: Callable[[Consumer], bool]) -> None:
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: reached(self))


@contextlib.asynccontextmanager
async def consuming(server: NatsServer, last_copy: Path | None = None) -> AsyncIterator[Consumer]:
    consumer = Consumer(server, last_copy)
    async with background(consumer.run(), name="consumer") as task:
        yield consumer
        if task.done():
            task.result()


class Galley:
    """The storage half of Galley in this process."""

    def __init__(self, store: Store, bus: Bus, publisher: Publisher) -> None:
        self.store, self.bus, self.publisher = store, bus, publisher

    async def published(self, revision: int) -> None:
        async def reached() -> bool:
            return self.publisher.status().published >= revision

        await eventually(reached)


@contextlib.asynccontextmanager
async def galley(
    server: NatsServer, directory: Path, open_bucket=ConfigBucket.open, *, url: str = "", holder: str = "galley-0"
) -> AsyncIterator[Galley]:
    async with (
        await Store.open(url or f"sqlite:///{directory}/galley.db") as store,
        Bus(account(server, "galley")) as bus,
    ):
        publisher = Publisher(store, bus, holder, open_bucket=open_bucket)
        responder = ListResponder(store, bus, publisher.repair)
        async with (
            background(publisher.run(), name="publisher"),
            background(responder.run(), name="list-responder"),
        ):
            yield Galley(store, bus, publisher)


@pytest.fixture
def server(tmp_path: Path):
    """With the users and permissions that `citadel init` gives Galley and a consumer."""
    users = []
    for user, allowed in (("galley", galley_permissions("galley")), ("pilot", feed_permissions("pilot"))):
        rights = json.dumps({"publish": allowed.publish, "subscribe": allowed.subscribe})
        users.append(f'{{ user: {user}, password: "{user}-secret", permissions: {rights} }}')
    with nats_server(tmp_path / "nats", f"authorization {{ users: [ {', '.join(users)} ] }}") as running:
        for user in ("galley", "pilot"):
            (running.directory / f"{user}.json").write_text(json.dumps({"user": user, "password": f"{user}-secret"}))
        yield running


def account(server: NatsServer, user: str) -> BusSettings:
    return BusSettings(server.url, server.directory / f"{user}.json", name=user)
