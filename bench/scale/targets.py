"""The table that Pilot's engine is held against: what is measured, what must be reached, and what is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from bench.scale.results import Median

Figures = Mapping[str, float]
"""Of one run, by name; a figure of a curve is named `FIGURE@CURVE=SIZE`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One row; `value` gives None where a run does not have it. Less is better, unless `least`."""

    label: str
    unit: str
    must: float | None
    aim: float
    value: Callable[[Figures], float | None]
    least: bool = False

    def verdict(self, value: float) -> str:
        """How it stands."""
        if value >= self.aim if self.least else value <= self.aim:
            return "aim"
        if self.must is None or (value >= self.must if self.least else value <= self.must):
            return "must"
        return "**missed**"

    def over(self, runs: Iterable[Figures]) -> Median | None:
        """Of all runs that have it."""
        found = [value for one in runs if (value := self.value(one)) is not None]
        return Median(statistics.median(found), min(found), max(found)) if found else None


def points(figures: Figures, name: str, curve: str) -> dict[int, float]:
    """The points of a curve (`proxies` or `services`), by size."""
    prefix = f"{name}@{curve}="
    return {int(key[len(prefix) :]): value for key, value in figures.items() if key.startswith(prefix)}


def _plain(name: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.get(name)


def _megabytes(name: str) -> Callable[[Figures], float | None]:
    """The targets are in units of ten to the sixth, the figures as /proc has them."""
    return lambda figures: figures[name] * 2**20 / 1e6 if name in figures else None


def _rise(name: str, curve: str) -> Callable[[Figures], float | None]:
    """By how many percent it rises at most from one size to any larger one; what a change costs whatever the number of
    proxies makes small sizes dear."""

    def rise(figures: Figures) -> float | None:
        found = [value for _, value in sorted(points(figures, name, curve).items())]
        if len(found) < 2:
            return None
        cheapest = accumulate(found, min)
        return max(later / max(least, 1e-9) - 1 for later, least in zip(found, cheapest, strict=True)) * 100

    return rise


def _growth(name: str, curve: str) -> Callable[[Figures], float | None]:
    """How much faster than the size it grows from the first to the last point: 1 is linear, 0 constant."""

    def growth(figures: Figures) -> float | None:
        found = sorted(points(figures, name, curve).items())
        if len(found) < 2:
            return None
        (small, first), (large, last) = found[0], found[-1]
        return (last / max(first, 1e-9) - 1) / (large / small - 1)

    return growth


TARGETS = (
    Target("one endpoint changes: p99 of the last ACK", "ms", 250, 80, _plain("endpoint_last_p99_milliseconds")),
    Target(
        "a VirtualService is edited: Galley's answer to the last ACK, p99",
        "ms",
        400,
        150,
        _plain("virtual_service_last_p99_milliseconds"),
    ),
    Target("proxy updates, one worker", "/s", 4000, 10000, _plain("sustained_pushes_per_second"), least=True),
    Target("processor time for a small push and its ACK", "us", 150, 80, _plain("sustained_push_microseconds")),
    Target("2,000 proxies come back after Pilot was killed", "s", 20, 6, _plain("reconnect_seconds")),
    Target("memory of Pilot with 2,000 proxies", "MB", 500, 250, _megabytes("more_resident_mebibytes")),
    Target(
        "100 to 3,000 proxies: the highest rise of a push's processor time from one size to a larger one",
        "%",
        20,
        20,
        _rise("sustained_push_microseconds", "proxies"),
    ),
    Target(
        "a service is added, 100 to 5,000 services: growth of processor time (1: linear, 0: none)",
        "",
        0.9,
        0.1,
        _growth("service_added_cpu_milliseconds", "services"),
    ),
    Target("cold start with 1,000 services: the first proxy has everything", "s", 5, 2, _plain("cold_start_seconds")),
    Target(
        "the same with NATS and Galley away: Pilot serves, to the first message",
        "s",
        2,
        2,
        _plain("alone_start_first_response_seconds"),
    ),
    Target("memory of Pilot with 10,000 idle proxies", "MB", None, 1000, _megabytes("idle_resident_mebibytes")),
)
