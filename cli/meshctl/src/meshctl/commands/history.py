"""meshctl history, rollback: revisions of the config of the running stack, and going back to one."""

from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.admin_api import AdminApi, galley_of
from meshctl.commands.objects import find_kind
from meshctl.commands.options import (
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    failing_clearly,
    print_document,
    print_table,
)
from meshctl.core.revisions import change_rows, object_rows

TargetArgument = Annotated[list[str] | None, typer.Argument(help="KIND NAME: of one object instead of everything.")]
RevisionArgument = Annotated[int, typer.Argument(min=1, help="The revision to go back to.")]


@failing_clearly
def history(
    target: TargetArgument = None,
    namespace: NamespaceOption = "default",
    after: Annotated[int, typer.Option("--after", min=0, help="Revisions after this one.")] = 0,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """List the revisions of the store, or of one object: when, by whom, what."""
    with galley_of(stack) as galley:
        if target:
            found = galley.get(f"{_object_path(target, namespace)}/history")["items"]
            table = object_rows(found)
        else:
            found = _changes(galley, after)
            table = change_rows(found)
    if output is Output.TABLE:
        print_table(table)
    else:
        print_document({"items": found}, output)


@failing_clearly
def rollback(
    revision: RevisionArgument,
    target: TargetArgument = None,
    namespace: NamespaceOption = "default",
    stack: StackOption = None,
) -> None:
    """Make everything, or one object, what it was at a revision: one new revision."""
    with galley_of(stack) as galley:
        if target:
            made = galley.post(f"{_object_path(target, namespace)}/rollback", {"revision": revision})
            print(f"{target[0]}/{target[1]} is as at revision {revision}: {made['metadata']['resourceVersion']}")
            return
        made = galley.post("/api/v1/rollback", {"revision": revision})
    counts = ", ".join(f"{made[verb]} {verb}" for verb in ("created", "updated", "deleted"))
    print(f"revision {made['revision']} is as revision {revision} was: {counts}")


def _changes(galley: AdminApi, after: int) -> list[dict[str, Any]]:
    """Every page."""
    found: list[dict[str, Any]] = []
    while True:
        page = galley.get("/api/v1/changes", after=after, limit=1000)
        found += page["items"]
        if not page.get("continue"):
            return found
        after = int(page["continue"])


def _object_path(target: list[str], namespace: str) -> str:
    if len(target) != 2:
        raise MeshError(ErrorCode.INVALID, "say KIND NAME")
    kind = find_kind(target[0])
    return f"/api/v1/objects/{kind.group or 'core'}/{kind.plural}/{namespace if kind.namespaced else '_'}/{target[1]}"
