"""The seeded fault test of config: `make test` runs a few rounds with a fixed seed, `make faults` 200 with a new one.

Galley and nats-server are real processes on addresses of their own. Writers reach Galley, Galley reaches NATS and
consumers reach NATS through relays that can cut them off. A round draws one or two faults, holds them for a moment,
heals them, and ends when writes are acknowledged again; every other round also when every consumer has them.

At the end the store's own history says what each revision wrote. It must hold every acknowledged write, as it was
acknowledged, and no part of a change set; every state that a consumer ever showed must be the state of the store at
that revision; and the consumers and the store must come to the same end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from meshcore.runtime.tasks import background
from meshcore.testing.addresses import claim
from meshcore.testing.galley import ADMIN_PORT, CONFIG_PORT, GalleyProcess, bearer, running
from meshcore.testing.nats import PORT as NATS_PORT
from meshcore.testing.nats import NatsServer, nats_server
from meshcore.testing.relay import Relay

from tests.faults.consumers import Consumer
from tests.faults.ledger import Ledger, judge_shown, states
from tests.faults.writers import PATH, is_whole, write_pairs, write_singles

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "10"))
SEED = int(os.environ.get("FAULT_SEED", "20"))
LONGEST_FAULT = 0.4
PAIRS, SINGLES = 4, 2
PATIENCE = 30.0
HEALED_WITHIN = 60.0
"""Seconds: how long a fault is held; until a writer gives up an answer that is only slow (who is killed or cut off
resets the connection, and on a busy machine a writer that asks again too soon makes work that nobody waits for); until
writes are acknowledged, and consumers have them, after a fault."""


class Mesh:
    """The parts, and the ways to hurt them."""

    def __init__(self, galley: GalleyProcess, nats: NatsServer, relays: dict[str, Relay], feeds: list[Consumer]):
        self.galley, self.nats, self.relays, self.feeds = galley, nats, relays, feeds

    @contextlib.asynccontextmanager
    async def galley_killed(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.galley.kill)
        yield
        self.galley.start()
        await asyncio.to_thread(self.galley.wait_ready)

    @contextlib.asynccontextmanager
    async def nats_killed(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.nats.kill)
        yield
        await asyncio.to_thread(self.nats.start)

    @contextlib.asynccontextmanager
    async def nats_emptied(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.nats.kill)
        self.nats.delete_store()
        yield
        await asyncio.to_thread(self.nats.start)

    @contextlib.asynccontextmanager
    async def consumer_killed(self) -> AsyncIterator[None]:
        await self.feeds[0].restart()
        yield

    def stopped(self, part: GalleyProcess | NatsServer) -> Callable[[], Any]:
        @contextlib.asynccontextmanager
        async def stop() -> AsyncIterator[None]:
            part.send(signal.SIGSTOP)
            yield
            part.send(signal.SIGCONT)

        return stop

    def cut(self, *names: str) -> Callable[[], Any]:
        @contextlib.asynccontextmanager
        async def cut() -> AsyncIterator[None]:
            for name in names:
                self.relays[name].cut()
            yield
            for name in names:
                self.relays[name].mend()

        return cut

    def faults(self) -> dict[str, Callable[[], Any]]:
        """By name; two of one process never come together."""
        return {
            "galley killed": self.galley_killed,
            "galley stopped": self.stopped(self.galley),
            "nats killed": self.nats_killed,
            "nats stopped": self.stopped(self.nats),
            "nats emptied": self.nats_emptied,
            "writers cut off": self.cut("writers", "admin"),
            "publisher cut off": self.cut("publisher"),
            "consumers cut off": self.cut("consumers"),
            "consumer killed": self.consumer_killed,
        }


@pytest.mark.timeout(60 + 20 * ROUNDS)
async def test_what_is_acknowledged_is_kept_and_reaches_every_consumer_whatever_dies(tmp_path: Path):
    chance = random.Random(SEED)
    print(f"faults: {ROUNDS} rounds, FAULT_SEED={SEED}")
    ledger = Ledger()
    async with contextlib.AsyncExitStack() as stack:
        mesh = await parts(stack, tmp_path)
        async with writing(mesh, ledger):
            await ledger.more(20, HEALED_WITHIN)
            counted = await hurt(mesh, ledger, chance)
        await judge(mesh, ledger)
        print(f"faults: {ledger.count} acknowledged writes, {dict(sorted(counted.items()))}")


async def parts(stack: contextlib.AsyncExitStack, directory: Path) -> Mesh:
    block = stack.enter_context(claim())
    nats = stack.enter_context(nats_server(directory / "nats"))
    galley_address, writers_address = block.address(1), block.address(4)
    places = {
        "publisher": (block.address(2), NATS_PORT, (nats.address, NATS_PORT)),
        "consumers": (block.address(3), NATS_PORT, (nats.address, NATS_PORT)),
        "writers": (writers_address, CONFIG_PORT, (galley_address, CONFIG_PORT)),
        "admin": (writers_address, ADMIN_PORT, (galley_address, ADMIN_PORT)),
    }
    relays = {name: await stack.enter_async_context(Relay(*place)) for name, place in places.items()}
    (directory / "galley").mkdir()
    galley = GalleyProcess(
        directory / "galley", galley_address, nats_url=f"nats://{block.address(2)}:{NATS_PORT}", also=(writers_address,)
    )
    await asyncio.to_thread(stack.enter_context, running(galley))
    url = f"nats://{block.address(3)}:{NATS_PORT}"
    feeds = [
        Consumer("with-copy", url, directory / "last-copy"),
        Consumer("without-copy", url),
    ]
    for feed in feeds:
        await stack.enter_async_context(feed)
    return Mesh(galley, nats, relays, feeds)


@contextlib.asynccontextmanager
async def writing(mesh: Mesh, ledger: Ledger) -> AsyncIterator[None]:
    """Every writer at work; when this ends, each write is answered, or given up and in doubt."""
    context = mesh.galley.client_context()
    config_url = f"https://{mesh.relays['writers'].address}:{CONFIG_PORT}"
    admin_url = f"http://{mesh.relays['admin'].address}:{ADMIN_PORT}"
    async with contextlib.AsyncExitStack() as stack:
        for number in range(PAIRS + SINGLES):
            config = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=config_url, verify=context, headers=bearer(), timeout=PATIENCE, trust_env=False
                )
            )
            admin = await stack.enter_async_context(
                httpx.AsyncClient(base_url=admin_url, headers=bearer(), timeout=PATIENCE, trust_env=False)
            )
            if number < PAIRS:
                work = write_pairs(number, config, admin, ledger)
            else:
                work = write_singles(number, config, ledger)
            await stack.enter_async_context(background(reporting(work, ledger), name=f"writer-{number}"))
        yield


async def reporting(work: Coroutine[Any, Any, None], ledger: Ledger) -> None:
    """A writer that ends is a complaint, not a silence."""
    try:
        await work
    except Exception as error:
        ledger.complaints.append(f"a writer ended: {error!r}")
        raise


async def hurt(mesh: Mesh, ledger: Ledger, chance: random.Random) -> Counter[str]:
    counted: Counter[str] = Counter()
    faults = mesh.faults()
    loop = asyncio.get_running_loop()
    for number in range(ROUNDS):
        names = chance.sample(sorted(faults), chance.choice((1, 1, 2)))
        if len({name.split()[0] for name in names}) < len(names):
            names = names[:1]
        hold = chance.uniform(0.02, LONGEST_FAULT)
        counted.update(names)
        began = loop.time()
        unanswered = ledger.unanswered.copy()
        try:
            async with contextlib.AsyncExitStack() as stack:
                for name in names:
                    await stack.enter_async_context(faults[name]())
                await asyncio.sleep(hold)
            healed = loop.time()
            await ledger.more(PAIRS, HEALED_WITHIN)
            written = loop.time()
            if number % 2:
                await reach(mesh, ledger.newest)
        except (TimeoutError, RuntimeError) as error:
            raise AssertionError(
                f"round {number} of seed {SEED}: {names} does not heal: {error!r} {ledger.complaints} "
                f"{dict(ledger.unanswered - unanswered)}\n{mesh.galley.log.read_text()[-4000:]}"
            ) from error
        times = f"{healed - began:.1f} s, written {written - healed:.1f} s, arrived {loop.time() - written:.1f} s later"
        print(f"round {number}: {', '.join(names)}: healed after {times}; at {ledger.newest}")
        assert ledger.complaints == [], f"round {number} of seed {SEED}: {names}"
    return counted


async def reach(mesh: Mesh, revision: int) -> None:
    """Until every consumer has this revision."""
    for feed in mesh.feeds:
        await feed.until(lambda feed: feed.revision >= revision, HEALED_WITHIN)


async def judge(mesh: Mesh, ledger: Ledger) -> None:
    """The store, its revisions and every consumer, against what was acknowledged."""
    async with mesh.galley.client() as config, mesh.galley.admin() as admin:
        stored, newest = await settled(mesh, config)
        names = await read_revisions(admin)
        assert sorted(names) == list(range(1, newest + 1)), "a revision is missing, or there twice"
        history = await read_history(config, names)
    assert ledger.judge(stored) == []
    assert ledger.judge_history(history, is_whole) == []
    truth = states(history, newest)
    for feed in mesh.feeds:
        assert feed.values == stored
        assert feed.complaints == []
        assert len(feed.shown) > ROUNDS
        assert judge_shown(feed.shown, truth) == []
    assert ledger.complaints == []


async def settled(mesh: Mesh, config: httpx.AsyncClient) -> tuple[dict[str, str], int]:
    """The store's state and revision, when every consumer has it. A write that its author gave up may still come:
    then the next look finds all of them further on."""
    deadline = asyncio.get_running_loop().time() + HEALED_WITHIN
    while True:
        stored, newest = await read_all(config)
        if all(feed.revision == newest for feed in mesh.feeds):
            return stored, newest
        where = {feed.name: feed.revision for feed in mesh.feeds}
        assert asyncio.get_running_loop().time() < deadline, f"the store is at {newest}, consumers at {where}"
        await asyncio.sleep(0.05)


async def read_all(config: httpx.AsyncClient) -> tuple[dict[str, str], int]:
    """Every object, page by page, and the revision of the list."""
    found: dict[str, str] = {}
    more: str | None = ""
    while more is not None:
        answer = await config.get(PATH, params={"limit": 500, "continue": more})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found |= {item["metadata"]["name"]: item["data"]["v"] for item in page["items"]}
        more = page["metadata"].get("continue") or None
    return found, int(page["metadata"]["resourceVersion"])


async def read_revisions(admin: httpx.AsyncClient) -> dict[int, frozenset[str]]:
    """Every revision of the store, and which of our objects it wrote."""
    found: dict[int, frozenset[str]] = {}
    after: str | None = "0"
    while after is not None:
        answer = await admin.get("/api/v1/changes", params={"after": after, "limit": 1000})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            assert item["revision"] not in found
            keys = [change["key"] for change in item["changes"]]
            found[item["revision"]] = frozenset(
                key["name"] for key in keys if (key["plural"], key["namespace"]) == ("configmaps", "default")
            )
        after = page.get("continue")
    return found


async def read_history(config: httpx.AsyncClient, names: dict[int, frozenset[str]]) -> dict[int, dict[str, str | None]]:
    """What each revision wrote to our objects, out of a watch that begins where the store began."""
    assert names[1] == frozenset()
    left = {(revision, name) for revision, written in names.items() for name in written}
    found: dict[int, dict[str, str | None]] = {}
    async with (
        asyncio.timeout(HEALED_WITHIN),
        config.stream("GET", PATH, params={"watch": "true", "resourceVersion": "1"}) as events,
    ):
        assert events.status_code == 200
        async for line in events.aiter_lines():
            event = json.loads(line)
            metadata = event["object"]["metadata"]
            revision, name = int(metadata["resourceVersion"]), metadata["name"]
            left.remove((revision, name))
            value = None if event["type"] == "DELETED" else event["object"]["data"]["v"]
            found.setdefault(revision, {})[name] = value
            if not left:
                break
    assert left == set(), "the watch does not tell of every change"
    return found
