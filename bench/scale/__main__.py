"""Runs, and what came of them: `make bench-scale ARGS="--profile full --runs 5"`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.scale.certificates import write_certificates
from bench.scale.changes import Figures
from bench.scale.fed_objects import documents
from bench.scale.mesh import Mesh
from bench.scale.parts import measure, told
from bench.scale.profiles import PROFILES, Profile
from bench.scale.proxies import proxies_of
from bench.scale.results import Run, conditions, medians, print_figures, save
from bench.scale.spent import Others


@contextmanager
def fed_mesh(server: Path | None, profile: Profile) -> Iterator[tuple[Mesh, Path, Figures]]:
    """A mesh with its services, certificates for its proxies, and what feeding took."""
    with Mesh(server, profile.workers) as mesh, tempfile.TemporaryDirectory(prefix="bench-identity-") as folder:
        began = time.monotonic()
        mesh.feed(list(documents(profile.services, profile.classes)))
        took = {"feed_seconds": time.monotonic() - began}
        write_certificates(mesh, profile.classes, Path(folder))
        yield mesh, Path(folder), took


def run_all(options: argparse.Namespace, profile: Profile) -> Iterator[Run]:
    """Every server with every transport, `runs` times; who comes first changes from one to the next."""
    servers = [Path(one) for one in options.server] or [None]
    for number in range(options.runs):
        turn = -1 if number % 2 else 1
        for server in servers[::turn]:
            with fed_mesh(server, profile) as (mesh, folder, fed):
                for transport in options.transports.split(",")[::turn]:
                    secure = folder if transport == "mtls" else None
                    told(f"run {number + 1} of {options.runs}: {server or 'this checkout'}, {transport}")
                    others, began = Others(), time.monotonic()
                    with proxies_of(mesh.target(transport), profile.classes, secure) as clients:
                        figures = fed | measure(mesh, clients, profile, secure)
                        else_ran = others.since(time.monotonic() - began, {*mesh.own_processes(), clients.pid})
                    yield Run(str(server or ""), transport, number, figures, conditions(else_ran))


def main() -> None:
    """One command line."""
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="table")
    for name in ("services", "proxies", "classes", "reconnecting", "turns", "workers", "envoys", "idle-proxies"):
        parser.add_argument(f"--{name}", type=int, help="other than the profile's")
    parser.add_argument("--seconds", type=float, help="of changes as fast as they go")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--transports", default="plaintext,mtls")
    parser.add_argument("--server", action="append", default=[], help="a checkout that is set up; several alternate")
    parser.add_argument("--name", default="scale", help="of the result file")
    options = parser.parse_args()
    profile = PROFILES[options.profile].with_options(vars(options))
    runs = list(run_all(options, profile))
    print_figures(medians(runs))
    print(save(options.name, profile, runs))


if __name__ == "__main__":
    main()
