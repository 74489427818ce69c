"""A running intake, and how to wait for what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from galley.adapters.config_api.calls import Backend
from galley.adapters.sources import Intake
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from galley.core.source import Source
from meshcore.runtime.tasks import cancel, create_task


@pytest.fixture
def taking(store: Store) -> Callable[[Source], Any]:
    @asynccontextmanager
    async def run(source: Source) -> AsyncIterator[Intake]:
        intake = Intake(source, Backend(store, Naming()))
        task = create_task(intake.run(), name="intake")
        try:
            yield intake
        finally:
            await cancel(task)

    return run


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110 - the condition is in a database
                await asyncio.sleep(0.02)

    return wait
