"""Pilot under churn: `make soak SECONDS=1200`. Config changes without a pause while proxies join, leave, lose their
connections and come back; in each round everything comes to rest once and is counted.

It fails when Pilot's memory, files or tasks grow, when anything was refused, when a stream ended that nobody ended,
when two proxies of a class do not have the same, or when what a proxy has in the end is not what a Pilot that knows
nothing of all this gives to a new proxy. `SEED=N` repeats a run.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.scale.certificates import write_certificates
from bench.scale.churn import Churn
from bench.scale.mesh import Mesh
from bench.scale.progress import told
from bench.scale.proxies import Proxies, proxies_of
from bench.scale.results import FOLDER

ROUND = 20.0
WAIT = 120.0
GROWTH = 0.05
"""By which share of itself memory may grow in the time of the whole soak, by the line through its samples."""
LOOSE = 8
"""By how many the files or tasks of two samples may differ: requests of others are under way."""
SAMPLES = 8
"""Fewer say nothing about growth. The first third of all does not count: memos and pools fill."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Pilot at rest."""

    seconds: float
    mebibytes: float
    files: int
    tasks: int
    changes: int


class Soak:
    """One soak; every draw is of `seed`."""

    def __init__(self, mesh: Mesh, clients: Proxies, churn: Churn, options: argparse.Namespace) -> None:
        self._mesh, self._clients, self._churn = mesh, clients, churn
        self._proxies: int = options.proxies
        self._classes: int = options.classes
        self._draw = random.Random(options.seed)
        self._changes = 0
        self.samples: list[Sample] = []
        self.faults: list[str] = []

    def run(self, seconds: float) -> None:
        """Rounds until the time is over, at least one."""
        self._clients.ask("proxies", self._proxies)
        self._clients.complete(self._proxies, WAIT)
        began = time.monotonic()
        while not self.faults:
            left = began + seconds - time.monotonic()
            self._round(min(ROUND, max(left, 1.0)))
            self._sample(time.monotonic() - began)
            if time.monotonic() - began >= seconds:
                return

    def _round(self, seconds: float) -> None:
        self._clients.ask("mark")
        until = time.monotonic() + seconds
        revision = 0
        while time.monotonic() < until:
            revision = self._mesh.change(self._churn.step())
            self._changes += 1
            if self._draw.random() < 0.1:
                self._disturb()
        self._clients.ask("proxies", self._proxies)
        self._mesh.receipt(revision, WAIT)
        self._settle()
        self.faults += [f"{count} streams ended: {why}" for why, count in self._clients.ends().items()]

    def _disturb(self) -> None:
        """Proxies leave or join, restart with empty hands, or lose their connections."""
        some = self._draw.randint(1, max(1, self._proxies // 10))
        match self._draw.randrange(3):
            case 0:
                self._clients.ask("proxies", self._proxies - some)
            case 1:
                self._clients.ask("again", some)
            case _:
                self._clients.ask("broken", some)

    def _settle(self) -> None:
        """Until all proxies of a class have the same, and Pilot waits for nobody."""
        deadline = time.monotonic() + WAIT
        while True:
            held = self._clients.ask("held")
            apart = [kind for kind, counts in held.items() if len(counts) > 1]
            if not apart and self._mesh.unsettled() == 0:
                return
            if time.monotonic() > deadline:
                self.faults.append(f"proxies of classes {apart} do not have the same")
                return
            time.sleep(0.2)

    def _sample(self, seconds: float) -> None:
        pilot = self._mesh.pilot()
        tasks = len(self._mesh.pilot_api.get("/debug/tasks"))
        one = Sample(seconds, pilot.resident_mebibytes(), pilot.files(), tasks, self._changes)
        self.samples.append(one)
        told(f"{one.seconds:6.0f} s {one.mebibytes:8.1f} MiB {one.files} files {one.tasks} tasks {one.changes} changes")

    def compare_envoys(self, envoys: int) -> None:
        """Whether each real Envoy runs what Pilot says that it sent."""
        for number in range(envoys):
            name = f"envoy-{number}.bench-{number % self._classes}"
            text = self._mesh.meshctl("proxy-status", name)
            if text.count(" Match") != 3:
                self.faults.append(f"{name}: {text}")

    def compare_with_fresh(self, certificates: Path | None) -> None:
        """Whether each proxy has what a Pilot that has just been started gives to a new one of its class."""
        mesh, clients = self._mesh, self._clients
        held = clients.ask("held")
        clients.ask("proxies", 0)
        pid = mesh.pid()
        mesh.kill_pilot()
        mesh.pilot_after(pid)
        with proxies_of(clients.target, self._classes, certificates, "--longest-pause", "0.2") as fresh:
            fresh.ask("proxies", self._classes)
            fresh.complete(self._classes, WAIT)
            deadline = time.monotonic() + WAIT
            while mesh.unsettled() != 0 and time.monotonic() < deadline:
                time.sleep(0.2)
            expected = fresh.ask("held")
        for kind, counts in held.items():
            if set(counts) != set(expected[kind]):
                self.faults.append(f"class {kind} has {list(counts)}, a fresh compile gives {list(expected[kind])}")


def growth(samples: Sequence[Sample]) -> float:
    """By which share memory has grown from the first of the samples to the last, by the line through them."""
    slope = statistics.linear_regression([one.seconds for one in samples], [one.mebibytes for one in samples]).slope
    return slope * (samples[-1].seconds - samples[0].seconds) / statistics.median(one.mebibytes for one in samples)


def warmed_up(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those that count."""
    return samples[len(samples) // 3 :]


def judged(samples: Sequence[Sample]) -> Iterator[str]:
    """What has grown; nothing where there are too few samples to say."""
    warm = warmed_up(samples)
    if len(warm) < SAMPLES:
        return
    if (share := growth(warm)) > GROWTH:
        yield f"memory has grown by {share * 100:.1f} %"
    for name in ("files", "tasks"):
        values = [getattr(one, name) for one in warm]
        if max(values) - min(values) > LOOSE:
            yield f"{name} went from {min(values)} to {max(values)}"


def soak(options: argparse.Namespace) -> Soak:
    """The whole of it."""
    churn = Churn(options.seed, options.services, options.classes)
    with Mesh() as mesh, tempfile.TemporaryDirectory(prefix="bench-identity-") as folder:
        mesh.feed(churn.start)
        write_certificates(mesh, options.classes, Path(folder))
        certificates = Path(folder) if options.transport == "mtls" else None
        if options.envoys:
            mesh.start_envoys(options.envoys, options.classes)
        with proxies_of(mesh.target(options.transport), options.classes, certificates) as clients:
            running = Soak(mesh, clients, churn, options)
            running.run(options.seconds)
            running.faults += judged(running.samples)
            if refused := mesh.rejects():
                running.faults.append(f"{refused:.0f} messages were refused")
            running.compare_envoys(options.envoys)
            running.compare_with_fresh(certificates)
    return running


def main() -> int:
    """1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="bench.scale.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--seed", type=int, default=None)
    for name, default in (("services", 300), ("proxies", 300), ("classes", 10), ("envoys", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--transport", choices=("plaintext", "mtls"), default="mtls")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where the result file goes")
    options = parser.parse_args()
    options.seed = random.randrange(1 << 16) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    told(f"SEED={options.seed}")
    done = soak(options)
    now = datetime.now(UTC)
    sizes = {key: value for key, value in vars(options).items() if key != "output"}
    document = {**sizes, "faults": done.faults, "samples": [asdict(one) for one in done.samples]}
    options.output.mkdir(exist_ok=True)
    (options.output / f"soak-{now:%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(document, indent=1) + "\n")
    for fault in done.faults:
        print(f"wrong: {fault}")
    last, warm = done.samples[-1], warmed_up(done.samples)
    if len(warm) < SAMPLES:
        print(f"too short to judge growth: {len(warm)} samples count, {SAMPLES} are needed")
    print(
        f"{last.changes} changes in {last.seconds:.0f} s, {len(done.samples)} times at rest, {len(done.faults)} faults"
    )
    return 1 if done.faults else 0


if __name__ == "__main__":
    sys.exit(main())
