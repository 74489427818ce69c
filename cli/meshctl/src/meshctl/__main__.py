"""`meshctl`, also as `python -m meshctl`.

Only the module of the command that is run is loaded: `up` must not wait for what `compile` needs.
"""

import gc
import sys
from importlib import import_module

import typer

COMMANDS = {
    "up": "stack",
    "down": "stack",
    "status": "stack",
    "kubeconfig": "stack",
    "apply": "objects",
    "get": "objects",
    "delete": "objects",
    "history": "history",
    "rollback": "history",
    "audit": "audit",
    "validate": "offline",
    "analyze": "analyze",
    "compile": "compile",
    "explain": "explain",
    "diff": "diff",
    "kube-inject": "offline",
    "version": "offline",
    "proxy-status": "proxies",
    "proxy-config": "proxies",
    "check": "check",
    "demo": "demo",
    "iptables": "iptables",
    "enrol": "enrol",
    "supervise": "stack",
}
"""Each command and the module of `meshctl.commands` that has it."""
GROUPS = {"authz": "authz", "ca": "ca", "cert": "cert", "workload": "workload"}
"""Each command with commands of its own, and the module whose `app` has them."""
HIDDEN = {"supervise"}
PASSED_ON = {"iptables": {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}}
"""Commands whose options are those of another program, and what click must leave to it."""


def app_with(names: list[str]) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="meshctl",
        help="The command line of the mesh.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_no_options)
    for name in names:
        if name in GROUPS:
            app.add_typer(import_module(f"meshctl.commands.{GROUPS[name]}").app, name=name)
            continue
        module = import_module(f"meshctl.commands.{COMMANDS[name]}")
        app.command(name, hidden=name in HIDDEN, context_settings=PASSED_ON.get(name))(
            getattr(module, name.replace("-", "_"))
        )
    return app


def _no_options() -> None:
    """The command line of the mesh."""


def main() -> None:
    """Runs the command line."""
    gc.set_threshold(200_000, 20, 20)  # thousands of documents are all alive: looking for garbage takes half the time
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    known = [*COMMANDS, *GROUPS]
    app_with([wanted] if wanted in known else known)()


if __name__ == "__main__":
    main()
