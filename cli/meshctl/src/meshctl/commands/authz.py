"""meshctl authz: what authorization policies say of a request, and which rule says it."""

from typing import Annotated

import typer

from meshctl.commands.explain import explained
from meshctl.commands.options import (
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    failing_clearly,
    print_document,
    printable,
)
from meshctl.core.authorized import check_document, render_check

app = typer.Typer(help="Authorization policies: who may do what.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Authorization policies: who may do what."""


@app.command()
@failing_clearly
def check(
    source: Annotated[str, typer.Argument(metavar="FROM", help="NAME, NAME.NAMESPACE or NAMESPACE/NAME.")],
    to: Annotated[str, typer.Argument(metavar="TO", help="HOST[:PORT], or a URL of http, https, grpc or tcp.")],
    path: Annotated[str, typer.Option("--path", help="Path and query; wins over that of a URL.")] = "",
    method: Annotated[str, typer.Option("--method", help="The request's method.")] = "GET",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Wins over that of TO.")] = 0,
    filename: Annotated[
        list[str] | None, typer.Option("--filename", "-f", help="Ask these files, not the running mesh.")
    ] = None,
    namespace: NamespaceOption = "default",
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Say whether policies let a request in, by which rule, or what came near to it."""
    document, places = explained(source, to, path, method, header or [], port, filename or [], namespace, stack)
    checked = check_document(document)
    if output is Output.TABLE:
        for line in render_check(checked, places):
            print(printable(line))
    else:
        print_document(checked, output)
