"""Runs, and what came of them: `make bench-scale ARGS="--profile table --runs 5"`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.scale.certificates import write_certificates
from bench.scale.changes import Figures
from bench.scale.fed_objects import documents
from bench.scale.mesh import Mesh
from bench.scale.parts import measure
from bench.scale.profiles import PROFILES, Profile
from bench.scale.progress import told
from bench.scale.proxies import proxies_of
from bench.scale.results import FOLDER, Run, conditions, medians, print_figures, save
from bench.scale.spent import Others


@contextmanager
def fed_mesh(server: Path | None, profile: Profile) -> Iterator[tuple[Mesh, Path, Figures]]:
    """A mesh with its services, certificates for its proxies, and what feeding took."""
    with Mesh(server, profile.workers) as mesh, tempfile.TemporaryDirectory(prefix="bench-identity-") as folder:
        began = time.monotonic()
        mesh.feed(list(documents(profile.services, profile.classes, captured=not profile.envoys)))
        took = {"feed_seconds": time.monotonic() - began}
        write_certificates(mesh, profile.classes, Path(folder))
        yield mesh, Path(folder), took


def run_all(options: argparse.Namespace, profile: Profile) -> Iterator[Run]:
    """Every server with every transport, `runs` times; who comes first changes from one to the next."""
    servers = options.server or [None]
    ways = [(server, transport) for server in servers for transport in options.transports.split(",")]
    for number in range(profile.runs):
        for server, transport in ways[:: -1 if number % 2 else 1]:
            told(f"run {number + 1} of {profile.runs}: {server or 'this checkout'}, {transport}")
            yield _run(server, transport, number, profile)


def _run(server: Path | None, transport: str, number: int, profile: Profile) -> Run:
    others, began = Others(), time.monotonic()
    with fed_mesh(server, profile) as (mesh, folder, fed):
        secure = folder if transport == "mtls" else None
        with proxies_of(mesh.target(transport), profile.classes, secure) as clients:
            figures = fed | measure(mesh, clients, profile, secure)
            else_ran = others.since(time.monotonic() - began, {*mesh.own_processes(), clients.pid})
    took = time.monotonic() - began
    told(f"it took {took:.0f} s")
    return Run(server.name if server else "", transport, number, figures, conditions(else_ran, took))


def _steps(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not (folder / ".venv" / "bin" / "python").exists():
        raise argparse.ArgumentTypeError(f"{folder} is not set up (make -C {text} setup)")
    return folder


def _name(options: argparse.Namespace) -> str:
    """What is of other servers or of other parts is no result that docs/performance.md shows."""
    more = [*(one.name for one in options.server), *(options.parts or ())]
    return "-".join(["scale", options.profile, *more])


def main() -> None:
    """One command line."""
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="table")
    for name in ("services", "proxies", "classes", "reconnecting", "turns", "workers", "envoys", "idle-proxies"):
        parser.add_argument(f"--{name}", type=int, help="other than the profile's")
    for name in ("proxy-steps", "service-steps"):
        parser.add_argument(f"--{name}", type=_steps, help="sizes of a curve, between commas")
    parser.add_argument("--parts", type=lambda text: tuple(text.split(",")), help="other than the profile's")
    parser.add_argument("--seconds", type=float, help="of changes as fast as they go")
    parser.add_argument("--runs", type=int, help="other than the profile's: medians of fewer than five say little")
    parser.add_argument("--transports", default="plaintext,mtls")
    parser.add_argument(
        "--server", action="append", default=[], type=_checkout, help="a checkout that is set up; several alternate"
    )
    parser.add_argument("--name", help="of the result file [default: scale-PROFILE, and servers or parts if given]")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where the result file goes")
    options = parser.parse_args()
    if len({one.name for one in options.server}) < len(options.server):
        parser.error("the folders of the servers need different names")
    profile = PROFILES[options.profile].with_options(vars(options))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what runs is taken down first
    runs: list[Run] = []
    try:
        runs.extend(run_all(options, profile))
    finally:
        if runs:  # of those that were measured, whatever became of the one after them
            print_figures(medians(runs))
            print(save(options.name or _name(options), profile, runs, options.output))


if __name__ == "__main__":
    main()
