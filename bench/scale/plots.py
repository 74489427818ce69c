"""The plots of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.scale.fed_objects import CHANGES
from bench.scale.results import Result
from bench.scale.targets import points

COLOURS = {"plaintext": "#3465a4", "mtls": "#c17d11"}
SIZE = (6.4, 3.2)
RESOLUTION = 90
"""Inches, and dots for each: some 20 KB a plot."""

Runs = dict[str, list[dict[str, float]]]


def draw(results: Sequence[Result], folder: Path) -> None:
    """Every plot of which there are figures."""
    folder.mkdir(exist_ok=True)
    runs: Runs = {}
    for result in results:
        for run in result.runs:
            runs.setdefault(run.transport, []).append(run.figures)
    plots: dict[str, Callable[[Any], bool]] = {
        "changes": lambda axes: _changes(axes, runs),
        "push-by-proxies": lambda axes: _curve(
            axes, runs, "sustained_push_microseconds", "proxies", "processor time for a push and its ACK (us)"
        ),
        "memory-by-proxies": lambda axes: _curve(axes, runs, "resident_mebibytes", "proxies", "memory of Pilot (MiB)"),
        "last-ack-by-proxies": lambda axes: _curve(
            axes, runs, "endpoint_last_p50_milliseconds", "proxies", "one endpoint changes: last ACK, p50 (ms)"
        ),
        "service-by-services": lambda axes: _curve(
            axes, runs, "service_added_cpu_milliseconds", "services", "a service is added: processor time (ms)"
        ),
    }
    for name, plot in plots.items():
        figure = Figure(figsize=SIZE, dpi=RESOLUTION, layout="constrained")
        axes = figure.subplots()
        if plot(axes):
            axes.set_ylim(bottom=0)
            axes.grid(axis="y", alpha=0.3)
            axes.legend()
            figure.savefig(folder / f"scale-{name}.png", metadata={"Software": None})


def _median(runs: Sequence[dict[str, float]], name: str) -> float | None:
    found = [one[name] for one in runs if name in one]
    return statistics.median(found) if found else None


def _changes(axes: Any, runs: Runs) -> bool:
    """Bars: the median of all pairs, with the slowest ACK of all above it."""
    drawn = False
    for place, (transport, found) in enumerate(runs.items()):
        middles = [_median(found, f"{name}_p50_milliseconds") for name in CHANGES]
        ends = [_median(found, f"{name}_last_max_milliseconds") for name in CHANGES]
        if None in (*middles, *ends):
            continue
        at = [number + 0.35 * place for number in range(len(CHANGES))]
        above = [high - middle for middle, high in zip(middles, ends, strict=True)]
        colour = COLOURS.get(transport)
        below = [0.0] * len(above)
        axes.bar(at, middles, 0.33, yerr=(below, above), label=f"{transport}: p50 and max", color=colour, capsize=4)
        drawn = True
    axes.set_xticks([number + 0.17 for number in range(len(CHANGES))], [name.replace("_", " ") for name in CHANGES])
    axes.set_ylabel("a change to its ACKs (ms)")
    return drawn


def _curve(axes: Any, runs: Runs, name: str, curve: str, label: str) -> bool:
    """A line through the medians, with all runs as dots."""
    drawn = False
    for transport, found in runs.items():
        each = [points(one, name, curve) for one in found]
        sizes = sorted({size for one in each for size in one})
        if len(sizes) < 2:
            continue
        middles = [statistics.median([one[size] for one in each if size in one]) for size in sizes]
        axes.plot(sizes, middles, label=transport, color=COLOURS.get(transport))
        for one in each:
            axes.plot(list(one), list(one.values()), "o", markersize=3, color=COLOURS.get(transport), alpha=0.6)
        drawn = True
    axes.set_xlabel(curve)
    axes.set_ylabel(label, fontsize="small")
    axes.set_xlim(left=0)
    return drawn
