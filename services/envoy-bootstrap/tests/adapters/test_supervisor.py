"""Replacement of a running Envoy, and bootstraps that Envoy refuses."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy_bootstrap.adapters.supervisor import Supervisor
from envoy_bootstrap.core.addresses import HostPort, UnixSocket
from envoy_bootstrap.core.envoy_arguments import envoy_arguments
from envoy_bootstrap.core.static_listeners import prometheus_listener
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks
from meshcore.testing import addresses
from meshcore.testing.envoy import envoy_path

from .conftest import get_beside_a_replacement

DRAIN = timedelta(seconds=1)


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mc-"))
    yield path
    shutil.rmtree(path)


def answering(ip: str, text: str) -> Callable[[UnixSocket], str]:
    listener = prometheus_listener(HostPort(ip, 9080), compress=False)
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    manager["route_config"]["virtual_hosts"][0]["routes"] = [answer]
    empty = {"resources": []}

    def render(admin: UnixSocket) -> str:
        sources = {}
        for kind in ("cds", "lds"):
            file = Path(admin.path).with_name(f"{kind}.json")
            file.write_text(json.dumps(empty))
            sources[f"{kind}_config"] = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
        return json.dumps(
            {
                "node": {"id": "n", "cluster": "c"},
                "admin": {"address": admin.to_envoy()},
                "dynamic_resources": sources,
                "static_resources": {"listeners": [listener]},
            }
        )

    return render


@asynccontextmanager
async def supervised(directory: Path, render: list[Callable[[UnixSocket], str]]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(
        envoy_path(),
        directory,
        lambda admin: render[-1](admin),
        lambda bootstrap: envoy_arguments(bootstrap, drain=DRAIN, concurrency=1, log_level="error"),
    )
    async with tasks.background(supervisor.run(), name="envoy"):
        try:
            yield supervisor
        finally:
            await supervisor.stop(timedelta(), timedelta())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


class Load:
    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[str] = []
        self.failures: list[str] = []
        self._resets: list[str] = []

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=30, verify=False) as client:
            while True:
                try:
                    response = await get_beside_a_replacement(client, self.url, self._resets)
                    (self.seen if response.status_code == 200 else self.failures).append(response.text)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))


async def test_envoy_is_replaced_with_a_changed_bootstrap_without_a_failed_request(directory: Path) -> None:
    with addresses.claim() as claim:
        render = [answering(claim.address(1), "old")]
        async with supervised(directory, render) as supervisor:
            await until(lambda: ready(supervisor))
            old = supervisor.envoy
            assert old is not None
            load = Load(f"http://{claim.address(1)}:9080/")
            async with tasks.background(load.run(), name="load"):
                await until(lambda: truth(len(load.seen) > 20))
                render.append(answering(claim.address(1), "new"))
                await supervisor.replace(DRAIN)
                before = len(load.seen)
                await until(lambda: truth(len(load.seen) > before + 20))
            assert load.failures == []
            assert (load.seen[0], load.seen[-1]) == ("old", "new")
            assert old.ended
            assert supervisor.envoy is not None
            assert (directory / "admin.sock").resolve() == Path(supervisor.envoy.admin.socket).resolve()
        assert [path.name for path in directory.iterdir() if path.suffix != ".json"] == []


async def test_an_end_does_not_wait_until_an_old_envoy_is_drained(directory: Path) -> None:
    with addresses.claim() as claim:
        render = [answering(claim.address(1), "old")]
        async with supervised(directory, render) as supervisor:
            await until(lambda: ready(supervisor))
            old = supervisor.envoy
            assert old is not None
            async with tasks.background(supervisor.replace(timedelta(hours=1)), name="replacement") as replacement:
                await until(lambda: truth(supervisor.envoy is not old))
                new = supervisor.envoy
                assert new is not None
                async with asyncio.timeout(60):
                    await supervisor.stop(timedelta(), timedelta())
                    await replacement
            assert old.ended
            assert new.ended
            with pytest.raises(MeshError, match="the proxy is ending"):
                await supervisor.replace(DRAIN)
        assert [path.name for path in directory.iterdir() if path.suffix != ".json"] == []


async def test_an_envoy_that_crashes_while_it_is_replaced_has_one_successor(directory: Path) -> None:
    with addresses.claim() as claim:
        render = [answering(claim.address(1), "old")]
        async with supervised(directory, render) as supervisor:
            await until(lambda: ready(supervisor))
            old = supervisor.envoy
            assert old is not None
            render.append(answering(claim.address(1), "new"))
            async with tasks.background(supervisor.replace(DRAIN), name="replacement") as replacement:
                await until(lambda: truth((directory / "envoy-rev2.json").exists()))
                os.kill(old.pid, signal.SIGKILL)
                await replacement
            await until(lambda: ready(supervisor))
            assert supervisor.epoch == 2
            assert supervisor.envoy is not None
            assert supervisor.envoy.epoch == 2


async def test_a_bootstrap_that_envoy_refuses_leaves_the_old_one_serving(directory: Path) -> None:
    with addresses.claim() as claim:
        render: list[Callable[[UnixSocket], str]] = [answering(claim.address(1), "old")]
        async with supervised(directory, render) as supervisor:
            await until(lambda: ready(supervisor))
            render.append(lambda admin: json.dumps({"no_such_field": 1, "static_resources": {"listeners": 5}}))
            with pytest.raises(MeshError) as caught:
                await supervisor.replace(DRAIN)
            assert caught.value.code is ErrorCode.INVALID
            assert "listeners" in caught.value.detail
            assert (await supervisor.readiness()).ready
            async with httpx.AsyncClient(timeout=30, verify=False) as client:
                assert (await client.get(f"http://{claim.address(1)}:9080/")).text == "old"


async def ready(supervisor: Supervisor) -> bool:
    return (await supervisor.readiness()).ready


async def truth(value: bool) -> bool:
    return value
