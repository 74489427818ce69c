"""From the command line to a running service, and back to an exit status."""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from meshcore.runtime import logs, telemetry
from meshcore.runtime.service import Build, S, _version, serve


def run(settings_class: type[S], build: "Build[S]", argv: Sequence[str] | None = None) -> int:
    """Start a service and stay until it ends; the result is the exit status of the process.

    `--print-settings` prints what is in force (secrets struck out) and ends. 0 after an orderly stop, 1 when a part
    failed, 2 when a setting is wrong (each is named with its variable).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    settings = _read(settings_class)
    if settings is None:
        return 2
    if arguments == ["--print-settings"]:
        sys.stdout.write(json.dumps(settings.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")
        return 0
    if arguments:
        sys.stderr.write(f"usage: python -m {settings.service} [--print-settings]\n")
        return 2
    logs.configure(settings.service, settings.log_level, settings.log_format)
    flush = telemetry.configure(settings.service, _version(settings.service))
    if settings.state_dir is not None:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_until_signal(settings, build))
    finally:
        flush()


def _read(settings_class: type[S]) -> S | None:
    try:
        return settings_class()
    except ValidationError as error:
        prefix = settings_class.model_config.get("env_prefix", "")
        for problem in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in problem["loc"])
            sys.stderr.write(f"{name} ({prefix}{name.upper()}): {problem['msg']}\n")
        return None


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory


async def _until_signal(settings: S, build: "Build[S]") -> int:
    import structlog

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = structlog.get_logger(settings.service)
    try:
        await serve(settings, build, stop)
    except* Exception as group:
        for error in _leaves(group):
            log.error("service failed", exc_info=error)
        return_code = 1
    else:
        return_code = 0
    return return_code


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
