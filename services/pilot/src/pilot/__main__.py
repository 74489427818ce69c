"""Pilot's composition root: `python -m pilot [--workers N]`."""

import os
import sys
from collections.abc import Sequence
from functools import partial

from meshcore.runtime import Runtime, run

from pilot.adapters import telemetry
from pilot.adapters.own_identity import start_identity
from pilot.adapters.serving import start_parent, start_serving
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.impact import affects
from pilot.settings import PilotSettings


async def build(runtime: Runtime[PilotSettings]) -> None:
    """Start what this process is: a whole Pilot, a worker of one, or the parent of workers."""
    settings = runtime.settings
    identity = start_identity(runtime)
    if settings.workers > 1 and settings.worker < 0:
        source = await start_parent(runtime)
    else:
        memos = CompileCache()
        telemetry.MEMO_HITS.set_function(lambda: memos.hits)
        telemetry.MEMO_MISSES.set_function(lambda: memos.misses)
        compile_class = partial(compile_resources, cache=memos)
        serving = await start_serving(runtime, compile_class, affects, identity, Refreshing(memos), memos.forget)
        source = serving.source
    if settings.worker < 0:
        # A worker has no admin API, so it does without the time and memory of the web framework.
        from meshcore.http import serve_admin

        from pilot.adapters.admin import create_router

        await serve_admin(runtime, [create_router(source)], identity=identity)


def main(argv: Sequence[str] | None = None) -> int:
    """Run Pilot; the result is the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--workers" in arguments:
        at = arguments.index("--workers")
        os.environ["PILOT_WORKERS"] = "".join(arguments[at + 1 : at + 2])
        del arguments[at : at + 2]
    return run(PilotSettings, build, arguments)


if __name__ == "__main__":
    sys.exit(main())
