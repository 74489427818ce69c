"""Pilot's composition root: `python -m pilot [--workers N]`."""

import os
import sys
from collections.abc import Sequence
from functools import partial

from meshcore.light_imports import UNUSED, light_imports

with light_imports(*UNUSED):
    from meshcore.runtime import Runtime, run
    from pydantic import ValidationError

    from pilot.adapters import telemetry
    from pilot.adapters.admin_start import start_admin
    from pilot.adapters.first_workers import FirstWorkers, fork_workers
    from pilot.adapters.own_identity import start_identity
    from pilot.adapters.serving import start_parent, start_serving
    from pilot.core.compiler import CompileCache, Refreshing, compile_resources
    from pilot.core.impact import affects
    from pilot.settings import PilotSettings


async def build(runtime: Runtime[PilotSettings], first: FirstWorkers | None) -> None:
    """Start what this process is: a whole Pilot, a worker of one, or the parent of the workers that run already."""
    settings = runtime.settings
    identity = start_identity(runtime)
    if first is not None:
        source, busy = await start_parent(runtime, first), _never_busy
    else:
        memos = CompileCache()
        telemetry.MEMO_HITS.set_function(lambda: memos.hits)
        telemetry.MEMO_MISSES.set_function(lambda: memos.misses)
        compile_class = partial(compile_resources, cache=memos)
        serving = await start_serving(runtime, compile_class, affects, identity, Refreshing(memos), memos.forget)
        source, busy = serving.source, lambda: serving.hub.is_busy
    if settings.worker < 0:
        # A worker has no admin API, so it does without the time and memory of the web framework.
        await start_admin(runtime, source, identity, busy)


def main(argv: Sequence[str] | None = None) -> int:
    """Run Pilot; the result is the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--workers" in arguments:
        at = arguments.index("--workers")
        os.environ["PILOT_WORKERS"] = "".join(arguments[at + 1 : at + 2])
        del arguments[at : at + 2]
    first = fork_workers(workers) if not arguments and (workers := _workers_to_fork()) else None
    try:
        return run(PilotSettings, partial(build, first=first), arguments)
    finally:
        if first is not None:
            first.remove()


def _never_busy() -> bool:
    return False  # its workers serve


def _workers_to_fork() -> int:
    """How many workers this process is the parent of."""
    try:
        settings = PilotSettings()
    except ValidationError:
        return 0  # `run` says what is wrong
    return settings.workers if settings.workers > 1 and settings.worker < 0 else 0


if __name__ == "__main__":
    sys.exit(main())
