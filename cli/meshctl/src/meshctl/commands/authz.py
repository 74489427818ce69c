"""meshctl authz: what authorization policies say of a request, and which rule says it."""

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
from meshctl.commands.question_options import (
    FilesOption,
    FromArgument,
    HeaderOption,
    MethodOption,
    PathOption,
    PortOption,
    ToArgument,
)
from meshctl.core.authorized import check_document, render_check

app = typer.Typer(help="Authorization policies: who may do what.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Authorization policies: who may do what."""


@app.command()
@failing_clearly
def check(
    source: FromArgument,
    to: ToArgument,
    path: PathOption = "",
    method: MethodOption = "GET",
    header: HeaderOption = None,
    port: PortOption = 0,
    filename: FilesOption = None,
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
