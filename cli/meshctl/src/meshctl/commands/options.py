"""Options that several commands share, and how every command prints its failure."""

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
import yaml
from meshcore.errors import MeshError

from meshctl.core.failure import StackFailure

StackOption = Annotated[
    int | None, typer.Option("--stack", help="Stack number on this machine (MESHCORE_STACK, else 1).")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of objects that name none.")]
FilesOption = Annotated[list[str], typer.Option("--filename", "-f", help="File, folder, or - for standard input.")]


class Output(StrEnum):
    """Output formats."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Output format.")]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they read."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def print_document(document: Any, output: Output) -> None:
    """A document as JSON or YAML."""
    if output is Output.YAML:
        print(yaml.dump(document, Dumper=_Dumper, sort_keys=False), end="")
    else:
        print(json.dumps(document, indent=2))


def print_table(table: tuple[Sequence[str], Sequence[Sequence[str]]]) -> None:
    """Columns and rows, aligned; never wrapped or cut, so that other programs can read it."""
    columns, rows = table
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        print(printable("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()))


def printable(text: str) -> str:
    """The text without what would steer a terminal: control characters as `\\x1b`; line ends and tabs stay."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text
    )


def complain(*lines: str) -> None:
    """Lines on standard error."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def failing_clearly(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Prints a MeshError or StackFailure as the user should read it, and ends with code 1."""

    @wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except StackFailure as failure:
            complain(*(f"  {line}" for line in failure.lines), f"error: {failure}")
        except MeshError as error:
            complain(f"error: {error.detail}", *(f"  {violation}" for violation in error.violations))
        raise typer.Exit(1)

    return wrapped
