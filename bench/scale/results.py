"""What came of runs: a file, and medians with their spread."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.scale.profiles import Profile

FOLDER = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """One run with one transport; `conditions` are the load average at its end, what else computed meanwhile and how
    many seconds all of it took."""

    server: str
    transport: str
    number: int
    figures: dict[str, float]
    conditions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Median:
    """Of all runs with the same server and transport."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        spread = "" if self.least == self.most else f" ({self.least:.2f} to {self.most:.2f})"
        return f"{self.median:.2f}{spread}"


def conditions(others: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """How busy the machine was, and for how long."""
    load = round(os.getloadavg()[0], 2)
    return {"load_average": load, "others_processors": dict(others), "seconds": round(seconds, 1)}


def medians(runs: Sequence[Run]) -> dict[str, dict[str, Median]]:
    """By server and transport, then by figure."""
    groups: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        groups.setdefault(f"{run.server} {run.transport}".strip(), []).append(run.figures)
    return {
        name: {figure: _median([one[figure] for one in group]) for figure in group[0]} for name, group in groups.items()
    }


def _median(values: Sequence[float]) -> Median:
    return Median(statistics.median(values), min(values), max(values))


def print_figures(found: Mapping[str, Mapping[str, Median]]) -> None:
    """A table of one column for each group."""
    names = list(found)
    width = max(len(name) for name in names) + 2
    print(f"{'':<44}" + "".join(f"{name:>{max(34, width)}}" for name in names))
    for figure in next(iter(found.values())):
        cells = (found[name][figure] for name in names)
        texts = map(str, cells)
        print(f"{figure:<44}" + "".join(f"{text:>{max(34, width)}}" for text in texts))


def save(name: str, profile: Profile, runs: Sequence[Run], folder: Path = FOLDER) -> Path:
    """The path of the file."""
    now = datetime.now(UTC)
    document = {
        "name": name,
        "time": now.isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "profile": asdict(profile),
        "medians": {group: {key: asdict(one) for key, one in found.items()} for group, found in medians(runs).items()},
        "runs": [asdict(run) for run in runs],
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


@dataclass(frozen=True, slots=True)
class Result:
    """A file, read."""

    name: str
    time: str
    processors: int
    python: str
    profile: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def medians(self) -> dict[str, dict[str, Median]]:
        """By server and transport, then by figure."""
        return medians(self.runs)

    @property
    def repeats(self) -> int:
        """How often each server and transport was measured."""
        return 1 + max(run.number for run in self.runs)

    @property
    def load(self) -> tuple[float, float]:
        """The least and the largest load average at the end of a run."""
        loads = [float(run.conditions["load_average"]) for run in self.runs]
        return min(loads), max(loads)


def load(path: Path) -> Result:
    """What `save` has written."""
    found = json.loads(path.read_text())
    runs = tuple(Run(**run) for run in found["runs"])
    return Result(found["name"], found["time"], found["processors"], found["python"], found["profile"], runs)
