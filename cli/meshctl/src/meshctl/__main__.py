"""`meshctl`, also as `python -m meshctl`."""

import typer

from meshctl.commands import stack

app = typer.Typer(
    name="meshctl",
    help="The command line of the mesh.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.kubeconfig)
app.command(hidden=True)(stack.supervise)


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
