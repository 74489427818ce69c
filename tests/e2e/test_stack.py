"""The life of a stack: adopted, restarted, refused when an address is taken, gone without a trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mesh import Mesh, wait_until
from meshcore.testing.processes import is_running
from meshctl.adapters.loopback import lock_free_stack, lock_stack
from meshctl.adapters.stack_files import running_settings


def pids(mesh: Mesh) -> dict[str, int]:
    return {entry["name"]: entry["pid"] for entry in mesh.status()["services"]}


def sockets(mesh: Mesh) -> list[Path]:
    return [path for path in Path(mesh.layout.root).rglob("*") if path.is_socket()]


def listeners(stack: int) -> list[str]:
    """Local addresses of the stack on which somebody listens, from the kernel's table."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = f"{stack:02X}7F"
    return [row[1] for row in rows if row[3] == "0A" and row[1].split(":")[0].endswith(ours)]


def test_a_stack_from_up_to_down() -> None:
    mesh = Mesh([]).start()
    try:
        before = pids(mesh)
        os.kill(before["injector"], signal.SIGKILL)
        wait_until("the injector is back", lambda: (now := pids(mesh)["injector"]) and now != before["injector"])
        mesh.up()
        before = pids(mesh)
        supervisor = int(running_settings(mesh.layout)["supervisor"])
        os.kill(supervisor, signal.SIGKILL)
        wait_until("no supervisor", lambda: not is_running(supervisor))
        mesh.up()
        assert pids(mesh) == before
        assert "is down" in mesh.meshctl("down").stdout
        assert listeners(mesh.stack.number) == []
        assert sockets(mesh) == []
        assert not [pid for pid in before.values() if is_running(pid)]
        assert "was not running" in mesh.meshctl("down").stdout
    finally:
        mesh.close()


def test_in_the_foreground_the_stack_goes_with_its_terminal() -> None:
    mesh = Mesh([])
    try:
        command = [sys.executable, "-m", "meshctl", "up", "--foreground"]
        running = subprocess.Popen(
            command, env=mesh.environment, pass_fds=mesh.locks, stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        with running.stdout:
            assert running.stdout.readline().split() == ["NAME", "STATE", "PID", "ADDRESS"]
            running.send_signal(signal.SIGINT)
            assert "galley" in running.stdout.read()
        assert running.wait(60) == 0
        assert listeners(mesh.stack.number) == []
    finally:
        mesh.close()


def test_in_the_foreground_nobody_has_to_read_what_it_prints() -> None:
    mesh = Mesh([])
    try:
        command = [sys.executable, "-m", "meshctl", "up", "--foreground"]
        running = subprocess.Popen(command, env=mesh.environment, pass_fds=mesh.locks, stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.close()
        wait_until("all is ready", lambda: set(states(mesh)) == {"ready"})
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
        assert listeners(mesh.stack.number) == []
    finally:
        mesh.close()


def states(mesh: Mesh) -> list[str]:
    return [item["state"] for item in mesh.status()["services"]]


def test_an_address_that_is_taken_is_named() -> None:
    mesh = Mesh([])
    try:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier stack may have had this number
            taken.bind((mesh.stack.galley, 8081))
            taken.listen()
            done = mesh.meshctl("up", check=False)
        assert done.returncode == 1
        assert f"{mesh.stack.galley}:8081 is in use by process {os.getpid()}" in done.stderr
        assert sockets(mesh) == []
    finally:
        mesh.close()


def test_the_number_of_a_stack_is_never_free_between_its_choice_and_its_end() -> None:
    mesh = Mesh([])
    number = mesh.stack.number
    try:
        assert lock_stack(number) is None
        mesh.start()
        assert lock_stack(number) is None
        mesh.meshctl("down")
        assert lock_stack(number) is None
    finally:
        mesh.close()
    again = lock_stack(number)
    assert again is not None
    again.release()


def test_a_stack_that_cannot_be_taken_down_is_told_and_leaves_no_process() -> None:
    mesh = Mesh([]).start()
    before = [*pids(mesh).values(), int(running_settings(mesh.layout)["supervisor"])]
    mesh.environment["MESHCORE_STACK"] = "none"
    with pytest.raises(AssertionError, match="not a stack number"):
        mesh.close()
    assert not [pid for pid in before if is_running(pid)]
    assert listeners(mesh.stack.number) == []
    assert not mesh.home.exists()


def test_two_users_never_share_a_stack() -> None:
    lock = lock_free_stack(first=2)
    mesh = Mesh([])
    try:
        assert mesh.stack.number != lock.number
        done = mesh.meshctl("up", "--stack", str(lock.number), check=False)
        assert done.returncode == 1
        assert "held by another supervisor" in done.stderr
    finally:
        lock.release()
        mesh.close()
