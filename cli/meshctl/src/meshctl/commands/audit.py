"""meshctl audit: what proxies refused, what AUDIT policies matched, or all, as the mesh config has it."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from meshcore.durations import parse_duration
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.admin_api import AdminApi, citadel_of
from meshctl.commands.options import Output, OutputOption, StackOption, failing_clearly, print_document, print_table
from meshctl.core.access_rows import COLUMNS, access_row, reporter_rows

RECORDS = "/api/v1/audit"
LOOK_EVERY = 1.0
PAGE = 1000
Asked = dict[str, Any]


@failing_clearly
def audit(
    principal: Annotated[str, typer.Option("--principal", help="Of one caller: its SPIFFE id.")] = "",
    verdict: Annotated[str, typer.Option("--verdict", help="denied, audited or allowed.")] = "",
    policy: Annotated[str, typer.Option("--policy", help="Of one policy: NAMESPACE/NAME, or NAME.")] = "",
    reporter: Annotated[str, typer.Option("--reporter", help="Of one called workload: its SPIFFE id.")] = "",
    since: Annotated[str, typer.Option("--since", help="Not older than this, as in 30m.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE, help="The newest so many.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    losses: Annotated[bool, typer.Option("--losses", help="Who reports, and how much of it was lost.")] = False,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """List the access records that proxies report to Citadel, the newest last."""
    asked: Asked = {"principal": principal, "verdict": verdict, "policy": policy, "reporter": reporter}
    asked = {name: value for name, value in asked.items() if value} | {"limit": limit}
    if since:
        asked["since"] = _moment(since).isoformat()
    with citadel_of(stack) as citadel:
        if losses:
            _show_losses(citadel, output)
            return
        found = citadel.get(RECORDS, **asked)["items"][::-1]
        if follow:
            _follow(citadel, found, asked, output)
    if output is Output.TABLE:
        print_table((COLUMNS, [access_row(record) for record in found]))
    else:
        print_document({"items": found}, output)


def _moment(since: str) -> datetime:
    try:
        return datetime.now(UTC) - parse_duration(since)
    except ValueError:
        raise MeshError(ErrorCode.INVALID, f"--since: {since!r} is no duration, as 30m or 24h are") from None


def _show_losses(citadel: AdminApi, output: Output) -> None:
    found: list[dict[str, Any]] = []
    asked: Asked = {"limit": PAGE}
    while True:
        page = citadel.get(f"{RECORDS}/reporters", **asked)
        found += page["items"]
        if not page.get("continue"):
            break
        asked["continue"] = page["continue"]
    if output is Output.TABLE:
        print_table(reporter_rows(found))
    else:
        print_document({"items": found}, output)


def _follow(citadel: AdminApi, found: list[dict[str, Any]], asked: Asked, output: Output) -> None:
    """A line for each record, until interrupted: JSON, or fields with two spaces between them."""
    # Numbers only grow, so what is stored behind the newest of all is what comes from now on.
    newest = citadel.get(RECORDS, limit=1)["items"]
    behind = max([0, *(record["id"] for record in [*found, *newest])])
    asked = {name: value for name, value in asked.items() if name != "since"} | {"limit": PAGE}
    try:
        while True:
            for record in found:
                print(json.dumps(record) if output is Output.JSON else "  ".join(access_row(record)), flush=True)
            page = citadel.get(RECORDS, **asked, behind=behind)
            found, behind = page["items"], int(page["continue"])
            if not found:
                time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
