"""meshctl enrol: workloads in containers get their config, their tokens and their keys."""

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from meshcore.errors import MeshError

from meshctl.adapters.enrolment import Enrolment, GalleyAccess, unfinished
from meshctl.adapters.text_files import read_workloads
from meshctl.commands.options import failing_clearly

LOOK_EVERY = 5.0


@failing_clearly
def enrol(
    workloads: Annotated[str, typer.Option("--workloads", help="The workloads file.")],
    directory: Annotated[str, typer.Option("--dir", help="Where each workload has its folder.")],
    galley: Annotated[str, typer.Option("--galley", help="URL of Galley's config API.")] = "https://galley:8081",
    root: Annotated[str, typer.Option("--root", help="File with the mesh's root.")] = "root-cert.pem",
    token: Annotated[str, typer.Option("--token-file", help="File with the administrator's token.")] = "admin-token",
    trust_domain: Annotated[str, typer.Option("--trust-domain", help="Of a mesh without config.")] = "cluster.local",
    check: Annotated[bool, typer.Option("--check", help="Only say whether every workload has a token.")] = False,
) -> None:
    """Create the workloads' config where it is missing and keep the token of each fresh until told to stop.

    With Galley away the tokens stay as they are and it is tried again: a workload renews its certificate without one.
    """
    file = read_workloads(workloads)
    if check:
        missing = unfinished(Path(directory), file.workloads, time.time())
        if missing:
            print(f"without a token: {', '.join(missing)}", file=sys.stderr)
            raise typer.Exit(1)
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    enrolment = Enrolment(GalleyAccess(galley, root, token), Path(directory), file)
    for made in enrolment.seed(trust_domain):
        print(f"created {made}", flush=True)
    while not stop.is_set():
        try:
            for name in enrolment.refresh(time.time()):
                print(f"new token for {name}", flush=True)
        except (MeshError, OSError) as error:
            print(f"no new tokens: {error}", file=sys.stderr, flush=True)
        stop.wait(LOOK_EVERY)
