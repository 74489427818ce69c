"""meshctl validate, compile, kube-inject: what needs no running stack; and version."""

import sys
from enum import StrEnum
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import typer
from injector.core.kube_inject import kube_inject as inject
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.load import Document

from meshctl.adapters.config_files import config_paths, read_documents
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.adapters.text_files import read_text
from meshctl.commands.options import (
    FilesOption,
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    printable,
)
from meshctl.core.topology import ADMIN_PORT
from meshctl.core.validation import Verdict, validate_documents


@failing_clearly
def validate(filename: FilesOption, output: OutputOption = Output.TABLE) -> None:
    """Check config files, every document and every violation; exit code 1 when anything is invalid."""
    verdicts: list[Verdict] = []
    for path in config_paths(filename):
        try:
            verdicts += validate_documents(read_documents([path]))
        except MeshError as error:
            if error.code is not ErrorCode.INVALID:
                raise
            found = error.violations or (Violation("", error.detail, file=path),)
            verdicts.append(Verdict(Document(path, 1, {}), found, ()))
    if not verdicts:
        complain(f"warning: no object in {', '.join(filename)}")
    if output is Output.TABLE:
        for verdict in verdicts:
            _print_verdict(verdict)
    else:
        print_document([verdict.entry() for verdict in verdicts], output)
    if not all(verdict.valid for verdict in verdicts):
        raise typer.Exit(1)


def _print_verdict(verdict: Verdict) -> None:
    entry = verdict.entry()
    name = "/".join(part for part in (entry["namespace"], entry["name"]) if part)
    what = f"{entry['file']}:{verdict.document.line}: {entry['kind']} {name}".rstrip()
    print(printable(f"{what} is {'valid' if verdict.valid else 'not valid'}"))
    for violation in verdict.errors:
        print(printable(f"  error: {violation}"))
    for violation in verdict.warnings:
        print(printable(f"  warning: {violation}"))


@failing_clearly
def kube_inject(
    filename: Annotated[str, typer.Option("--filename", "-f", help="File, or - for standard input.")],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace of documents without one.")
    ] = "default",
    output: Annotated[str | None, typer.Option("--output", "-o", help="File to write instead of printing.")] = None,
) -> None:
    """Add the sidecar to every workload of a YAML file."""
    result = inject(read_text(filename), namespace=namespace, source=filename)
    for skipped in result.skipped:
        complain(f"{skipped.kind} {skipped.name}: not injected: {skipped.reason}")
    if output is None:
        sys.stdout.write(result.text)
    else:
        with open(output, "w", encoding="utf-8") as file:
            file.write(result.text)


class Short(StrEnum):
    """Output formats of `version`."""

    TEXT = "text"
    JSON = "json"


@failing_clearly
def version(
    output: Annotated[Short, typer.Option("--output", "-o", help="Output format.")] = Short.TEXT,
    stack: StackOption = None,
) -> None:
    """Print the version of this client, and of the control plane and its proxies where a stack runs."""
    document: dict[str, Any] = {"clientVersion": {"version": package_version("meshctl")}}
    document |= running_versions(stack)
    if output is Short.JSON:
        print_document(document, Output.JSON)
        return
    print(f"client version: {document['clientVersion']['version']}")
    for component in document.get("meshVersion", ()):
        print(f"control plane version: {component['Info']['version']} ({component['Component']})")
    if "dataPlaneVersion" in document:
        print(f"data plane: {len(document['dataPlaneVersion'])} proxies")


def running_versions(stack: int | None) -> dict[str, Any]:
    """Control plane and proxies of a running stack, in istioctl's words; empty where none answers."""
    chosen = stack_from(stack)
    token = Path(layout_of(chosen).admin_token)
    if not token.exists():
        return {}
    try:
        with PilotApi(f"http://{chosen.pilot()}:{ADMIN_PORT}", token.read_text().strip()) as pilot:
            control_plane = [{"Component": "pilot", "Info": {"version": pilot.get("/version")["version"]}}]
            proxies = [{"ID": row["proxy"], "IstioVersion": row["istio_version"]} for row in pilot.sync_status()]
    except MeshError:
        return {}
    return {"meshVersion": control_plane, "dataPlaneVersion": proxies}
