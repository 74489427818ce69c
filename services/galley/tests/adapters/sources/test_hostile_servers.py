"""The Kubernetes source before a server that says what cannot be read: nothing ends it, and nothing else suffers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from galley.adapters.sources import KubernetesSource
from galley.adapters.store import Store
from meshcore.model.kinds import by_plural

KINDS = (by_plural("", "namespaces"), by_plural("networking.istio.io", "virtualservices"))


def virtual_service(name: str, note: str = "", **spec: Any) -> dict[str, Any]:
    route = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}
    details = {"name": name, "namespace": "default", "resourceVersion": "7", "annotations": {"note": note}}
    return {"metadata": details, "spec": {**route, **spec}}


class Server:
    """Answers with these lists of VirtualServices, the last one for ever, and with these watches, then silence."""

    def __init__(self) -> None:
        self.lists: list[list[Any]] = []
        self.watches: list[bytes] = []

    def client(self, _: httpx.Timeout) -> httpx.AsyncClient:
        """What the source asks with."""
        return httpx.AsyncClient(base_url="https://k", transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        ours = request.url.path.endswith("/virtualservices")
        if "watch" in request.url.params:
            return httpx.Response(200, content=self._events(self.watches.pop(0) if ours and self.watches else b""))
        items = (self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]) if ours else []
        body = {"metadata": {"resourceVersion": "5"}, "items": items}
        return httpx.Response(200, content=json.dumps(body, ensure_ascii=False).encode())

    async def _events(self, said: bytes) -> AsyncIterator[bytes]:
        yield said
        if not said:
            await asyncio.Event().wait()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def stored(store: Store, until: Any) -> Callable[..., Any]:
    async def become(*wanted: str) -> None:
        async def reached() -> bool:
            page = await store.list("networking.istio.io", "virtualservices", "default")
            return [item.key.name for item in page.items] == list(wanted)

        await until(reached)

    return become


def event(document: Any, kind: str = "ADDED") -> bytes:
    return json.dumps({"type": kind, "object": document}, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    "said",
    [
        b"[]\n",
        b"5\n",
        b"{}\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        event(None),
        event([]),
        event({"metadata": 5}),
        event({"metadata": {}}),
        event("x", "ERROR"),
        event({"message": "x" * 100_000}, "ERROR"),
        event({}, kind=None),  # type: ignore[arg-type]
    ],
    ids=lambda said: said[:30].decode(errors="replace"),
)
async def test_a_watch_that_cannot_be_read_is_followed_by_a_list(
    said: bytes, server: Server, taking: Any, stored: Any
) -> None:
    server.watches = [said]
    server.lists = [[virtual_service("a")], [virtual_service("a"), virtual_service("b")]]
    async with taking(KubernetesSource(server, KINDS)) as intake:  # type: ignore[arg-type]
        await stored("a", "b")
        assert all(len(fault.message) < 400 for fault in intake.report().faults)


async def test_an_item_that_is_no_object_deletes_nothing(server: Server, taking: Any, stored: Any, until: Any) -> None:
    wrong = [virtual_service("b"), None, [], virtual_service("c"), virtual_service("d", hosts=["a b"])]
    server.lists = [[virtual_service("a"), virtual_service("b")], wrong]
    server.watches = [event({})]
    async with taking(KubernetesSource(server, KINDS)) as intake:  # type: ignore[arg-type]
        await stored("a", "b", "c")

        async def told() -> bool:
            return len(intake.report().faults) == 4

        await until(told)


async def test_lines_end_with_a_line_feed_and_nothing_else(
    server: Server, store: Store, taking: Any, stored: Any
) -> None:
    note = "one\u2028two\x85three"
    server.lists = [[]]
    server.watches = [event(virtual_service("a", note)) + b"\n" + event(virtual_service("b"))]
    async with taking(KubernetesSource(server, KINDS)) as intake:  # type: ignore[arg-type]
        await stored("a", "b")
        assert intake.report().faults == ()
    (first, _) = (await store.list("networking.istio.io", "virtualservices", "default")).items
    assert first.object["metadata"]["annotations"]["note"] == note
