"""The demo ends by itself, with every promise kept and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys

from mesh import wait_until
from meshctl.adapters.loopback import lock_free_stack


def processes_of(stack: int) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue
        if f"127.{stack}.".encode() in environment or f"MESHCORE_STACK={stack}\0".encode() in environment:
            found.append(pid)
    return found


def test_the_demo_keeps_its_promises() -> None:
    lock = lock_free_stack(first=2)
    command = [sys.executable, "-m", "meshctl", "demo", "--stack", str(lock.number), "--changes", "10"]
    environment = os.environ | {"MESHCORE_STACK": str(lock.number)} | lock.environment
    done = subprocess.run(
        command,
        env=environment,
        pass_fds=lock.descriptors,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "First mTLS 200 after" in done.stdout
    assert "spiffe://cluster.local/ns/default/sa/reviews" in done.stdout
    assert "refused" in done.stdout
    assert "p50" in done.stdout
    wait_until("no process is left", lambda: not processes_of(lock.number))
    lock.release()  # not before: whoever takes the number next has processes of it
