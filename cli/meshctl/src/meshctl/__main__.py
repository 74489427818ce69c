"""`meshctl`, also as `python -m meshctl`."""

import typer

from meshctl.commands import demo, objects, offline, proxies, stack

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
app.command()(objects.apply)
app.command()(objects.get)
app.command()(objects.delete)
app.command()(offline.validate)
app.command()(offline.kube_inject)
app.command()(offline.version)
app.command()(proxies.proxy_status)
app.command()(proxies.proxy_config)
app.command()(demo.demo)
app.command(hidden=True)(stack.supervise)


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
