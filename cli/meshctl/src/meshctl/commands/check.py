"""meshctl check: how the control plane is, what it has in force and why, and what is wrong."""

import time
from typing import Annotated

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.control_plane import ControlPlane, composed_control_plane, embedded_control_plane
from meshctl.commands.options import (
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    print_table,
    printable,
)
from meshctl.core.check import Finding, Observed, closing, document, findings, summary, tables

LOOK_EVERY = 0.5


@failing_clearly
def check(
    project: Annotated[str | None, typer.Argument(help="With --compose: the compose project.")] = None,
    compose: Annotated[bool, typer.Option("--compose", help="The stack of docker compose.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds that what is on its way may take to arrive.")
    ] = 5.0,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Check the control plane: services, versions, what Pilot has in force and why, proxies, certificates. Exit code 1
    when something is wrong."""
    if project is not None and not compose:
        raise MeshError(ErrorCode.INVALID, f"{project} is no option: a project of docker compose needs --compose")
    plane = composed_control_plane(project) if compose else embedded_control_plane(stack)
    observed, found = settled(plane, timeout)
    if output is Output.TABLE:
        _print(observed, found)
    else:
        print_document(document(observed, found), output)
    if found:
        raise typer.Exit(1)


def settled(plane: ControlPlane, timeout: float) -> tuple[Observed, list[Finding]]:
    """A look at which nothing was wrong that may be over in a moment, or the last one before the time was over."""
    deadline = time.monotonic() + timeout
    while True:
        observed = plane.observe()
        found = findings(observed)
        if not any(one.passing for one in found) or time.monotonic() >= deadline:
            return observed, found
        time.sleep(LOOK_EVERY)


def _print(observed: Observed, found: list[Finding]) -> None:
    for table in tables(observed):
        print_table(table)
        print()
    for line in summary(observed):
        print(printable(line))
    print()
    for line in closing(found):
        print(printable(line))
    if found:
        complain(f"error: {len(found)} {'thing is' if len(found) == 1 else 'things are'} wrong")
