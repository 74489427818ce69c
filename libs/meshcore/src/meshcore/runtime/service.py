"""The life of one service inside an event loop: build, ready, run, stop in reverse order."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import metadata
from typing import Any, Generic, TypeVar

import structlog

from meshcore.runtime import tasks
from meshcore.runtime.readiness import Readiness
from meshcore.runtime.settings import ServiceSettings

YOUNG_OBJECTS = 10_000
"""New containers between two collections of garbage. Python's own 700 looks at each request a few times while it is
worked on, in vain: what a request leaves behind goes by itself."""

S = TypeVar("S", bound=ServiceSettings)
Build = Callable[["Runtime[S]"], Awaitable[None]]


class Runtime(Generic[S]):
    """What a service's composition root is given: settings, log, readiness, tasks and the way to stop."""

    def __init__(self, settings: S, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        self.settings = settings
        self.service = settings.service
        self.version = _version(settings.service)
        self.log = structlog.get_logger(settings.service)
        self.readiness = Readiness()
        self.stopping = stop
        self.ports: dict[str, int] = {}
        """What is bound where, by name; with port 0 in the settings the only place that knows."""
        self._group = group
        self._tasks: list[asyncio.Task[Any]] = []
        self._stops: list[tuple[str, Callable[[], Awaitable[Any]]]] = []

    def spawn(self, name: str, run: Callable[[], Awaitable[Any]], *, restart: bool = True) -> asyncio.Task[Any]:
        """Run a part of the service for as long as it lives.

        With `restart` a part that ends is started again with back-off and makes the service not ready meanwhile;
        without it a failure ends the service, and a normal return is fine.
        """
        condition = f"task:{name}"

        def report(ok: bool, detail: str) -> None:
            if ok:
                self.readiness.forget(condition)
            else:
                self.readiness.set(condition, False, detail)

        async def once() -> None:
            await run()

        coroutine = tasks.restarting(name, run, report) if restart else once()
        task = self._group.create_task(coroutine, name=name)
        self._tasks.append(task)
        return task

    def on_stop(self, name: str, stop: Callable[[], Awaitable[Any]]) -> None:
        """Have `stop` awaited when the service ends; what was registered last goes first."""
        self._stops.append((name, stop))

    async def enter(self, name: str, context: contextlib.AbstractAsyncContextManager[Any]) -> Any:
        """Enter a context now and leave it when the service ends."""
        value = await context.__aenter__()
        self.on_stop(name, lambda: context.__aexit__(None, None, None))
        return value

    def stop(self) -> None:
        """Ask for an orderly end."""
        self.stopping.set()

    async def _wind_down(self) -> None:
        grace = self.settings.shutdown_grace.total_seconds()
        self.readiness.set("started", False, "stopping")
        try:
            async with asyncio.timeout(grace):
                for name, stop in reversed(self._stops):
                    try:
                        await stop()
                    except Exception as error:
                        self.log.error("stop failed", part=name, exc_info=error)
        except TimeoutError:
            self.log.error("stop took too long", grace=grace)
        for task in self._tasks:
            task.cancel()


def _version(service: str) -> str:
    try:
        return metadata.version(service)
    except metadata.PackageNotFoundError:
        return metadata.version("meshcore")


async def serve(settings: S, build: "Build[S]", stop: asyncio.Event | None = None) -> None:
    """Run one service until `stop` is set or a part that is not restarted fails."""
    stop = stop or asyncio.Event()
    async with asyncio.TaskGroup() as group:
        runtime = Runtime(settings, group, stop)
        try:
            gc.set_threshold(YOUNG_OBJECTS)
            await build(runtime)
            runtime.readiness.set("started", True)
            # Without a look at all of it: imports and a start leave some 2,000 objects behind.
            gc.freeze()
            runtime.log.info("service started", version=runtime.version)
            await stop.wait()
        finally:
            await runtime._wind_down()
            runtime.log.info("service stopped")


@contextlib.asynccontextmanager
async def running(settings: S, build: "Build[S]") -> AsyncIterator["Runtime[S]"]:
    """Run a service inside the caller's loop for as long as the block lasts (tests, embedded use)."""
    stop = asyncio.Event()
    built: asyncio.Future[Runtime[S]] = asyncio.get_running_loop().create_future()

    async def build_and_tell(runtime: "Runtime[S]") -> None:
        await build(runtime)
        built.set_result(runtime)

    task = tasks.create_task(serve(settings, build_and_tell, stop), name=settings.service)
    waited_for: list[asyncio.Future[Any]] = [task, built]
    await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
    if not built.done():
        built.cancel()
        await task
    try:
        yield built.result()
    finally:
        stop.set()
        await task
