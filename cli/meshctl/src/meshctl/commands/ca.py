"""meshctl ca: the certificate authority of the mesh, and the rotation of its root."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.admin_api import AdminApi, citadel_of
from meshctl.adapters.own_trust import follow_bundle
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.commands.options import (
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    print_table,
)
from meshctl.core.certificates import (
    authority_lines,
    blocked,
    holder_rows,
    outstanding_rows,
    summary,
)
from meshctl.core.topology import Stack

app = typer.Typer(help="The certificate authority of the mesh.", no_args_is_help=True)
LOOK_EVERY = 0.5
ROTATION = "/api/v1/ca/rotation"


@app.command("status")
@failing_clearly
def status(output: OutputOption = Output.TABLE, stack: StackOption = None) -> None:
    """Show what signs, which roots are trusted and by whom, and whether a rotation runs."""
    now = datetime.now(UTC)
    with citadel_of(stack) as citadel:
        authority = citadel.get("/api/v1/ca")
        holders = citadel.get("/api/v1/ca/holders")["items"]
        rotation = citadel.get(ROTATION) if authority["kind"] == "self-signed" else None
    if output is not Output.TABLE:
        print_document({"authority": authority, "holders": holders, "rotation": rotation}, output)
        return
    for line in authority_lines(authority, now):
        print(line)
    if rotation is not None:
        print(f"rotation      {summary(rotation)}")
    print()
    print_table(holder_rows(holders, now))


@app.command("rotate")
@failing_clearly
def rotate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say who would hold a rotation up.")] = False,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="Do not wait for this one.")
    ] = None,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give up a rotation whose new root signs nothing yet.")
    ] = False,
    key: Annotated[str | None, typer.Option("--key", help="Kind of the new key: ecdsa or rsa.")] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait; the rotation goes on after.")] = 600.0,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Replace the root by one with another key; what was interrupted is taken up where it is."""
    with citadel_of(stack) as citadel:
        if dry_run:
            _show_prospects(citadel, output)
            return
        if abort:
            print(summary(citadel.delete(ROTATION)))
            return
        citadel.post(ROTATION, {"without": without or [], "key": key})
        rotation = _follow(citadel, stack, timeout, quiet=output is not Output.TABLE)
    if output is not Output.TABLE:
        print_document(rotation, output)
    if rotation["phase"] is not None:
        now = datetime.now(UTC)
        if output is Output.TABLE:
            print_table(outstanding_rows(rotation["waiting_for"], now))
        stuck = blocked(rotation["waiting_for"])
        hint = f"; say --without NAME for those that will not come back: {', '.join(stuck)}" if stuck else ""
        raise MeshError(ErrorCode.DEADLINE_EXCEEDED, f"the rotation is not finished, it goes on by itself{hint}")


def _show_prospects(citadel: AdminApi, output: Output) -> None:
    found = citadel.get(f"{ROTATION}/prospects")["items"]
    if output is not Output.TABLE:
        print_document({"items": found}, output)
    elif found:
        print_table(outstanding_rows(found, datetime.now(UTC)))
    else:
        print("everybody follows the trust bundle: a rotation would wait for nobody")


def _follow(citadel: AdminApi, stack: int | None, timeout: float, *, quiet: bool) -> dict[str, Any]:
    """The rotation as it was seen last: finished, or out of time."""
    deadline = time.monotonic() + timeout
    shown = ""
    while True:
        try:
            rotation: dict[str, Any] = citadel.get(ROTATION)
        except MeshError as error:
            # A Citadel that is started again goes on where the rotation was.
            if error.code is not ErrorCode.UNAVAILABLE or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY)
            continue
        line = summary(rotation) if rotation["phase"] is not None else "the new root has taken the old one's place"
        if line != shown and not quiet:
            print(line)
            shown = line
        _follow_bundle(citadel, stack_from(stack))
        if rotation["phase"] is None or time.monotonic() > deadline:
            return rotation
        time.sleep(LOOK_EVERY)


def _follow_bundle(citadel: AdminApi, chosen: Stack) -> None:
    try:
        bundle = citadel.get("/api/v1/trust-bundle")["pem"].encode()
        follow_bundle(chosen, layout_of(chosen), bundle)
    except MeshError as error:
        complain(f"warning: the certificate of meshctl is not renewed: {error.detail}")
