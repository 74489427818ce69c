"""meshctl up, down, status, kubeconfig: the stack on this machine."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.compose import compose_kubeconfig
from meshctl.adapters.own_trust import write_kubeconfig
from meshctl.adapters.stack_client import bring_up, stack_status, supervisor_answers, take_down
from meshctl.adapters.stack_files import bookshop_workloads, layout_of, running_settings, stack_from, stack_settings
from meshctl.adapters.supervise import supervise as run_supervisor
from meshctl.adapters.supervisor import Supervisor
from meshctl.adapters.text_files import read_workloads
from meshctl.commands.options import Output, OutputOption, StackOption, failing_clearly, print_document, print_table
from meshctl.core.plan import StackSettings

DEFAULT_TRUST_DOMAIN = "cluster.local"
TrustDomainOption = Annotated[
    str | None, typer.Option("--trust-domain", help="Trust domain of the first `up` [default: cluster.local].")
]
NoRestartOption = Annotated[bool, typer.Option("--no-restart", help="Leave a dead process dead until the next `up`.")]
PilotsOption = Annotated[int | None, typer.Option("--pilots", min=1, max=9, help="How many Pilots [default: 1].")]
WorkersOption = Annotated[
    int | None, typer.Option("--pilot-workers", min=1, help="Processes of each Pilot [default: 1].")
]


def _settings(
    stack: int | None, pilots: int | None, pilot_workers: int | None, trust_domain: str | None
) -> StackSettings:
    """What was asked for; where nothing was, what the stack runs with."""
    chosen = stack_from(stack)
    running = running_settings(layout_of(chosen))
    return stack_settings(
        chosen,
        pilots or running.get("pilots", 1),
        pilot_workers or running.get("pilot_workers", 1),
        trust_domain or running.get("trust_domain", DEFAULT_TRUST_DOMAIN),
    )


@failing_clearly
def up(
    stack: StackOption = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and take the stack down at the end.")] = False,
    no_restart: NoRestartOption = False,
    demo: Annotated[bool, typer.Option("--demo", help="Run the bookshop as well.")] = False,
    workloads: Annotated[str | None, typer.Option("--workloads", help="Run the workloads of this file.")] = None,
    pilots: PilotsOption = None,
    pilot_workers: WorkersOption = None,
    trust_domain: TrustDomainOption = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds until all must be ready.")] = 60.0,
) -> None:
    """Start the stack (or what of it does not run) and wait until all is ready."""
    settings = _settings(stack, pilots, pilot_workers, trust_domain)
    chosen = bookshop_workloads() if demo else workloads
    if not foreground:
        status = bring_up(settings, restart=not no_restart, timeout=timeout, workloads=chosen)
        print_status(status, Output.TABLE)
        return
    if supervisor_answers(settings.layout):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"stack {settings.stack.number} already runs")

    async def first(supervisor: Supervisor) -> None:
        await supervisor.ensure(timeout, read_workloads(chosen) if chosen else None)
        try:
            print_status(await supervisor.status(), Output.TABLE)
            sys.stdout.flush()  # a program that reads the table must not wait for the end
        except BrokenPipeError:  # it has read what it wanted; what is left to write goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    asyncio.run(run_supervisor(settings, restart=not no_restart, first=first))


@failing_clearly
def down(stack: StackOption = None) -> None:
    """End the stack: no process and no socket is left. Its state stays for the next `up`."""
    chosen = stack_from(stack)
    if take_down(layout_of(chosen)):
        print(f"stack {chosen.number} is down")
    else:
        print(f"stack {chosen.number} was not running")


@failing_clearly
def status(stack: StackOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show the processes of the stack and where they listen."""
    print_status(stack_status(layout_of(stack_from(stack))), output)


def print_status(document: Mapping[str, Any], output: Output) -> None:
    """The status as a table, JSON or YAML."""
    if output is not Output.TABLE:
        print_document(document, output)
        return
    rows = []
    for service in document["services"]:
        address = service.get("config_api") or service.get("client") or service.get("admin") or ""
        rows.append((service["name"], service["state"], str(service["pid"] or "-"), address))
    for workload in document["workloads"]:
        name = f"{workload['namespace']}/{workload['name']}"
        rows.append(
            (name, workload["state"], str(workload["pid"] or "-"), workload["http_proxy"] or workload["address"])
        )
    print_table((("NAME", "STATE", "PID", "ADDRESS"), rows))


@failing_clearly
def kubeconfig(
    project: Annotated[str | None, typer.Argument(help="With --compose: the compose project.")] = None,
    compose: Annotated[bool, typer.Option("--compose", help="For the stack of docker compose.")] = False,
    stack: StackOption = None,
) -> None:
    """Write a kubeconfig for the running stack and print its path."""
    if compose:
        print(compose_kubeconfig(project))
        return
    chosen = stack_from(stack)
    path = Path(layout_of(chosen).kubeconfig)
    if not supervisor_answers(layout_of(chosen)) or not path.exists():
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"stack {chosen.number} does not run: `meshctl up`")
    write_kubeconfig(chosen, layout_of(chosen))
    print(path)


@failing_clearly
def supervise(
    stack: StackOption = None,
    no_restart: NoRestartOption = False,
    pilots: PilotsOption = None,
    pilot_workers: WorkersOption = None,
    trust_domain: TrustDomainOption = None,
) -> None:
    """Run the supervisor itself (started by `up`)."""
    settings = _settings(stack, pilots, pilot_workers, trust_domain)
    asyncio.run(run_supervisor(settings, restart=not no_restart))
