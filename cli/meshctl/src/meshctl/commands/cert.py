"""meshctl cert: the certificates that Citadel has issued."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.admin_api import AdminApi, citadel_of
from meshctl.commands.options import Output, OutputOption, StackOption, failing_clearly, print_document, print_table
from meshctl.core.certificates import certificate_rows, field_lines, state_of

app = typer.Typer(help="Certificates that Citadel has issued.", no_args_is_help=True)
PAGE = 1000


@app.command("list")
@failing_clearly
def list_certificates(
    identity: Annotated[str | None, typer.Option("--identity", "-i", help="Of one identity: its SPIFFE id.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-A", help="Also those that others have followed.")] = False,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """List the certificates in use."""
    now = datetime.now(UTC)
    with citadel_of(stack) as citadel:
        found = [row for row in _rows(citadel, identity) if everything or state_of(row, now) == "valid"]
    if output is Output.TABLE:
        print_table(certificate_rows(sorted(found, key=lambda row: (row["identity"], row["issued_at"])), now))
    else:
        print_document({"items": found}, output)


@app.command("show")
@failing_clearly
def show_certificate(
    target: Annotated[str, typer.Argument(help="A serial number, or a SPIFFE id for its newest certificate.")],
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Show what the ledger has of one certificate."""
    with citadel_of(stack) as citadel:
        if target.startswith("spiffe://"):
            rows = _rows(citadel, target)
            if not rows:
                raise MeshError(ErrorCode.NOT_FOUND, f"{target} has no valid certificate")
            row = max(rows, key=lambda one: one["issued_at"])
        else:
            row = citadel.get(f"/api/v1/certificates/{target}")
    if output is Output.TABLE:
        for line in field_lines(row, datetime.now(UTC)):
            print(line)
    else:
        print_document(row, output)


def _rows(citadel: AdminApi, identity: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"limit": PAGE} | ({} if identity is None else {"identity": identity})
    while True:
        page = citadel.get("/api/v1/certificates", **asked)
        found += page["items"]
        if not page.get("continue"):
            return found
        asked["continue"] = page["continue"]
