"""meshctl validate, compile, kube-inject, version: what needs no running stack."""

import sys
from enum import StrEnum
from importlib.metadata import version as package_version
from typing import Annotated

import typer
from injector.core.kube_inject import kube_inject as inject
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import Document

from meshctl.adapters.config_files import config_paths, read_documents
from meshctl.adapters.text_files import read_text
from meshctl.commands.options import FilesOption, Output, OutputOption, complain, failing_clearly, print_document
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
            verdicts.append(Verdict(Document(path, 1, {}), error.violations, ()))
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
    print(f"{what} is {'valid' if verdict.valid else 'not valid'}")
    for violation in verdict.errors:
        print(f"  error: {violation}")
    for violation in verdict.warnings:
        print(f"  warning: {violation}")


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
def version(output: Annotated[Short, typer.Option("--output", "-o", help="Output format.")] = Short.TEXT) -> None:
    """Print the version of this client."""
    number = package_version("meshctl")
    if output is Short.JSON:
        print_document({"clientVersion": {"version": number}}, Output.JSON)
    else:
        print(f"client version: {number}")
