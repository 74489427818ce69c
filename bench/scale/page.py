"""Writes tables and plots of the newest results into docs/performance.md: `make bench-page`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.scale.fed_objects import CHANGES
from bench.scale.results import FOLDER, Median, Result, load
from bench.scale.soak import SAMPLES, Sample, growth, warmed_up
from bench.scale.targets import TARGETS, Target, points

NAMES = ("scale-table", "scale-proxies", "scale-services", "scale-idle", "scale-envoys", "scale-workers")
PAGE = FOLDER.parents[1] / "docs" / "performance.md"
PLOTS = PAGE.with_suffix("")
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
TRANSPORTS = {"plaintext": "plaintext", "mtls": "mTLS"}
WORDS = {
    "endpoint": "one endpoint",
    "virtual_service": "a VirtualService edited",
    "service_added": "a service added",
    "mesh_policy": "a policy for the mesh",
}
"""Changes, as the table calls them."""
CURVES = {
    "proxies": {
        "sustained_push_microseconds": "processor time for a push and its ACK (us)",
        "sustained_pushes_per_second": "proxy updates a second",
        "endpoint_last_p50_milliseconds": "one endpoint changes: last ACK, p50 (ms)",
        "resident_mebibytes": "memory of Pilot (MiB)",
    },
    "services": {
        "service_added_cpu_milliseconds": "a service is added: processor time (ms)",
        "service_added_last_p50_milliseconds": "its last ACK, p50 (ms)",
        "virtual_service_last_p50_milliseconds": "a VirtualService edited: last ACK, p50 (ms)",
        "endpoint_last_p50_milliseconds": "one endpoint changes: last ACK, p50 (ms)",
        "resident_mebibytes": "memory of Pilot (MiB)",
    },
}
"""What is shown of each point of a curve."""
DETAILS = {
    "cold_start_first_response_seconds": "cold start: to the first message (s)",
    "cold_start_ready_seconds": "cold start: until `/readyz` says so (s)",
    "alone_start_seconds": "start with NATS and Galley away: the first proxy has everything (s)",
    "alone_start_ready_seconds": "until `/readyz` says so (s)",
    "alone_start_cpu_seconds": "processor time until the proxy has everything (s)",
    "connect_seconds": "1,000 proxies connect: last ACK (s)",
    "connect_streams_per_second": "streams a second meanwhile",
    "connect_cpu_milliseconds_per_stream": "Pilot's processor time for a stream (ms)",
    "connect_bytes_per_stream": "bytes sent to each",
    "resident_mebibytes": "memory of Pilot with them (MiB)",
    "sustained_client_push_microseconds": "processor time of the simulated proxies for a push (us)",
    "reconnect_cpu_seconds": "processor time of the new Pilot until 2,000 are back (s)",
    "reconnect_resident_mebibytes": "memory of it then (MiB)",
    "idle_resident_kibibytes_per_stream": "memory for an idle proxy (KiB)",
    "idle_connect_seconds": "10,000 proxies connect (s)",
    "idle_pilot_processors": "processors that Pilot takes while 10,000 are idle",
    "idle_change_last_milliseconds": "an endpoint changes then: last ACK (ms)",
    "envoys_ready_seconds": "20 real Envoys start beside 1,000 simulated proxies (s)",
    "envoys_mebibytes_each": "memory of each (MiB)",
    "envoys_endpoint_commit_to_ack_milliseconds": "one endpoint changes with them: commit to the last ACK (ms)",
    "envoys_virtual_service_commit_to_ack_milliseconds": "a VirtualService is edited with them (ms)",
    "envoys_virtual_service_cpu_milliseconds": "Pilot's processor time for that (ms)",
    "envoys_virtual_service_envoy_milliseconds": "processor time of all Envoys meanwhile (ms)",
    "envoys_rejects": "refusals",
    "workers_cold_start_seconds": "two workers: cold start, the first proxy has everything (s)",
    "workers_alone_start_first_response_seconds": "two workers: with NATS and Galley away, to the first message (s)",
    "workers_alone_start_seconds": "two workers: the first proxy has everything (s)",
    "workers_alone_start_ready_seconds": "two workers: until `/readyz` says so (s)",
    "workers_alone_start_cpu_seconds": "two workers: processor time until the proxy has everything (s)",
    "workers_connect_seconds": "two workers: 1,000 proxies connect (s)",
    "workers_endpoint_last_p99_milliseconds": "two workers: one endpoint changes, p99 of the last ACK (ms)",
    "workers_sustained_pushes_per_second": "two workers: proxy updates a second",
    "workers_sustained_push_microseconds": "two workers: processor time for a push (us)",
    "workers_resident_mebibytes": "two workers: memory of all processes (MiB)",
}


def newest() -> list[Result]:
    """The last result of each name."""
    found = (sorted(FOLDER.glob(f"{name}-2*.json")) for name in NAMES)
    return [load(paths[-1]) for paths in found if paths]


def runs_of(results: Sequence[Result], transport: str) -> list[dict[str, float]]:
    """The figures of every run with a transport."""
    return [run.figures for result in results for run in result.runs if run.transport == transport]


def number(value: float) -> str:
    """With three digits, and thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(found: Median | None, verdict: str = "") -> str:
    """A median with its spread."""
    if found is None:
        return ""
    spread = "" if found.least == found.most else f" ({number(found.least)} to {number(found.most)})"
    return f"{number(found.median)}{spread}{verdict and f', {verdict}'}"


def lines(results: Sequence[Result]) -> Iterator[str]:
    """What stands between the markers."""
    for one in results:
        sizes = ", ".join(f"{one.profile[key]:,} {key}" for key in ("services", "proxies", "classes"))
        loads = f"{one.load[0]:.1f} to {one.load[1]:.1f}"
        about = f"{one.processors} processors, Python {one.python}, load average {loads}"
        yield f"- `{one.name}`: {one.repeats} run(s) on {one.time[:10]}, {sizes}; {about}"
    yield "\nMedians with the spread of the runs:\n"
    yield f"| | must | aim | {' | '.join(TRANSPORTS.values())} |"
    yield "|---|---|---|---|---|"
    for target in TARGETS:
        bounds = (_bound(target, target.must), _bound(target, target.aim))
        cells = (_judged(target, runs_of(results, one)) for one in TRANSPORTS)
        yield f"| {target.label} | {' | '.join(bounds)} | {' | '.join(cells)} |"
    for transport, name in TRANSPORTS.items():
        yield from _changes(name, runs_of(results, transport))
    yield "\n| | " + " | ".join(TRANSPORTS.values()) + " |"
    yield "|---|---|---|"
    for figure, label in DETAILS.items():
        cells = [cell(_median(figure, runs_of(results, one))) for one in TRANSPORTS]
        if any(cells):
            yield f"| {label} | {' | '.join(cells)} |"
    for curve in CURVES:
        yield from _curve(curve, results)
    yield from soak_lines(sorted(FOLDER.glob("soak-2*.json"))[-1:])
    for plot in sorted(PLOTS.glob("scale-*.png")):
        yield f"\n![{plot.stem.replace('-', ' ')}]({PLOTS.name}/{plot.name})"


def _curve(curve: str, results: Sequence[Result]) -> Iterator[str]:
    """Each point of a curve, a row for each size and transport."""
    columns = CURVES[curve]
    sizes = {
        size for one in TRANSPORTS for run in runs_of(results, one) for size in points(run, next(iter(columns)), curve)
    }
    if not sizes:
        return
    yield f"\n| {curve} | | {' | '.join(columns.values())} |"
    yield "|---|---|" + "---|" * len(columns)
    for size in sorted(sizes):
        for transport, name in TRANSPORTS.items():
            runs = runs_of(results, transport)
            cells = [cell(_median(f"{figure}@{curve}={size}", runs)) for figure in columns]
            if any(cells):
                yield f"| {size:,} | {name} | {' | '.join(cells)} |"


def soak_lines(paths: Sequence[Path]) -> Iterator[str]:
    """What the newest soak found."""
    for path in paths:
        found = json.loads(path.read_text())
        samples = [Sample(**one) for one in found["samples"]]
        last, warm = samples[-1], warmed_up(samples)
        sizes = ", ".join(f"{found[name]:,} {name}" for name in ("services", "proxies", "classes", "envoys"))
        yield f"\nThe newest soak ({last.seconds:,.0f} s, seed {found['seed']}, {found['transport']}, {sizes}): "
        yield f"{last.changes:,} change sets, {len(samples)} times at rest, {len(found['faults'])} faults;"
        yield f"memory {' -> '.join(number(one.mebibytes) for one in (samples[0], warm[0], last))} MiB"
        yield "(first, when warm, last),"
        for name in ("files", "tasks"):
            values = [getattr(one, name) for one in warm]
            yield f"{name} {min(values)} to {max(values)},"
        slope = f"{growth(warm) * 100:+.1f} %" if len(warm) >= SAMPLES else "too short to say"
        yield f"growth of memory by the line through the warm samples: {slope}."


def _bound(target: Target, bound: float | None) -> str:
    return "" if bound is None else f"{'>=' if target.least else '<='} {bound:,g} {target.unit}".strip()


def _judged(target: Target, runs: Sequence[dict[str, float]]) -> str:
    found = target.over(runs)
    return "" if found is None else cell(found, target.verdict(found.median))


def _median(name: str, runs: Sequence[dict[str, float]]) -> Median | None:
    return Target("", "", None, 0, lambda figures: figures.get(name)).over(runs)


def _changes(transport: str, runs: Sequence[dict[str, float]]) -> Iterator[str]:
    columns = {
        "p50 (ms)": "p50_milliseconds",
        "p99 (ms)": "p99_milliseconds",
        "last ACK, p50 (ms)": "last_p50_milliseconds",
        "max (ms)": "last_max_milliseconds",
        "pushes": "pushes",
        "processor time for a push (us)": "push_microseconds",
        "bytes of a push": "push_bytes",
    }
    if not any(f"{name}_pushes" in one for one in runs for name in CHANGES):
        return
    yield f"\n| {transport}: a change to its ACKs | {' | '.join(columns)} |"
    yield "|---|" + "---|" * len(columns)
    for name in CHANGES:
        cells = (cell(_median(f"{name}_{column}", runs)) for column in columns.values())
        yield f"| {WORDS[name]} | {' | '.join(cells)} |"


def filled(page: str, between: str) -> str:
    """The page with something else between its markers; ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{between}\n{END}{after}"


def main() -> None:
    """Fill the page."""
    parser = argparse.ArgumentParser(prog="bench.scale.page", description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, metavar="FILE", help="instead of the newest of each name")
    parser.add_argument("--no-plots", action="store_true", help="without matplotlib: the plots stay as they are")
    options = parser.parse_args()
    results = [load(path) for path in options.results] or newest()
    if not results:
        sys.exit("there are no results; make bench-scale measures")
    if not options.no_plots:
        from bench.scale.plots import draw

        draw(results, PLOTS)
    PAGE.write_text(filled(PAGE.read_text(), "\n".join(lines(results))))


if __name__ == "__main__":
    main()
