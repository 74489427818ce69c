"""What the command line does with a stack: bring it up through its supervisor, ask it, take it down."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.control import send_order
from meshctl.adapters.loopback import handed_locks
from meshctl.adapters.processes import last_lines, records, start_ticks, stop_all_recorded
from meshctl.adapters.stack_files import running_settings
from meshctl.core.failure import StackFailure
from meshctl.core.layout import Layout
from meshctl.core.plan import StackSettings

SUPERVISOR_START = 15.0
STOP_TIMEOUT = 30.0
ASK_TIMEOUT = 10.0
POLL = 0.05


def supervisor_answers(layout: Layout) -> bool:
    """True when a supervisor listens on the stack's control socket."""
    try:
        send_order(layout.control_socket, {"op": "status"}, ASK_TIMEOUT)
    except OSError:
        return False
    return True


def bring_up(settings: StackSettings, *, restart: bool, timeout: float, workloads: str | None = None) -> dict[str, Any]:
    """Starts a detached supervisor unless one runs, waits until all is ready and returns the status.

    Raises StackFailure; a supervisor that this call started is then taken down again.
    """
    started = None
    if not supervisor_answers(settings.layout):
        started = _start_supervisor(settings, restart)
    else:
        _refuse_other_settings(settings)
    order = {"op": "ensure", "timeout": timeout, "workloads": workloads and str(Path(workloads).resolve())}
    try:
        return send_order(settings.layout.control_socket, order, timeout + 30)
    except (StackFailure, MeshError, OSError) as error:
        if started is not None:
            take_down(settings.layout)
        if isinstance(error, OSError):
            lines = tuple(last_lines(settings.layout, "supervisor"))
            raise StackFailure("supervisor", str(error), lines) from None
        raise


def _refuse_other_settings(settings: StackSettings) -> None:
    running = running_settings(settings.layout)
    for key in ("pilots", "pilot_workers", "trust_domain"):
        asked = getattr(settings, key)
        if running.get(key, asked) != asked:
            option = "--" + key.replace("_", "-")
            detail = f"the stack runs with {option} {running[key]}; run `meshctl down` first to change it"
            raise MeshError(ErrorCode.FAILED_PRECONDITION, detail)


def _start_supervisor(settings: StackSettings, restart: bool) -> subprocess.Popen[bytes]:
    log = Path(settings.layout.log("supervisor"))
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = ["--stack", str(settings.stack.number), "--trust-domain", settings.trust_domain]
    options += ["--pilots", str(settings.pilots), "--pilot-workers", str(settings.pilot_workers)]
    options += [] if restart else ["--no-restart"]
    with log.open("wb") as output:
        log.chmod(0o600)
        child = subprocess.Popen(
            [sys.executable, "-m", "meshctl", "supervise", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.layout.root,
            start_new_session=True,
            pass_fds=handed_locks(),
        )
    deadline = time.monotonic() + SUPERVISOR_START
    while not supervisor_answers(settings.layout):
        ended = child.poll() is not None
        if ended or time.monotonic() > deadline:
            if not ended:
                child.kill()
                child.wait()
            reason = "ended at once" if ended else "does not answer"
            raise StackFailure("supervisor", reason, tuple(last_lines(settings.layout, "supervisor")))
        time.sleep(POLL)
    return child


def stack_status(layout: Layout) -> dict[str, Any]:
    """The status in the shape of `status -o json`; without a supervisor, what the pid files say."""
    try:
        return send_order(layout.control_socket, {"op": "status"}, ASK_TIMEOUT)
    except OSError:
        left = [{"name": r.name, "state": "unsupervised", "pid": r.pid} for r in records(layout) if r.alive()]
        return {"services": left, "workloads": []}


def take_down(layout: Layout) -> bool:
    """Ends the stack to the last process and socket; True when there was something to end."""
    running = running_settings(layout)
    supervisor = int(running.get("supervisor", 0))
    alive = start_ticks(supervisor) if supervisor else None
    found = False
    try:
        send_order(layout.control_socket, {"op": "stop"}, ASK_TIMEOUT)
        found = True
    except OSError:
        found = any(record.alive() for record in records(layout))
    deadline = time.monotonic() + STOP_TIMEOUT
    while found and alive is not None and start_ticks(supervisor) == alive and time.monotonic() < deadline:
        _reap(supervisor)
        time.sleep(POLL)
    if found and alive is not None and start_ticks(supervisor) == alive:
        os.kill(supervisor, signal.SIGKILL)
    asyncio.run(stop_all_recorded(layout))
    Path(layout.settings).unlink(missing_ok=True)
    return found


def _reap(pid: int) -> None:
    """Takes the exit status when the supervisor is a child of this very process."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
