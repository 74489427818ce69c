"""The table that Pilot's engine is held against: what is measured, what must be reached, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Figures = Mapping[str, float]
"""Medians by name; a figure of a curve is named `FIGURE@SIZE`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One row; `value` gives None where a result does not have it. With `most` less is better, else more."""

    label: str
    unit: str
    must: float
    aim: float
    value: Callable[[Figures], float | None]
    most: bool = True

    def verdict(self, value: float) -> str:
        """How it stands."""
        for word, bound in (("aim", self.aim), ("must", self.must)):
            if value <= bound if self.most else value >= bound:
                return word
        return "missed"


def _plain(name: str, factor: float = 1.0) -> Callable[[Figures], float | None]:
    return lambda figures: figures[name] * factor if name in figures else None


def points(figures: Figures, name: str, curve: str) -> dict[int, float]:
    """The points of a curve (`proxies` or `services`), by size."""
    prefix = f"{name}@{curve}="
    return {int(key[len(prefix) :]): value for key, value in figures.items() if key.startswith(prefix)}


def _spread(name: str, curve: str) -> Callable[[Figures], float | None]:
    """By how many percent the largest point exceeds the smallest."""

    def spread(figures: Figures) -> float | None:
        found = points(figures, name, curve)
        return (max(found.values()) / max(min(found.values()), 1e-9) - 1) * 100 if len(found) > 1 else None

    return spread


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
    Target("one endpoint changes, p99 of the last ACK", "ms", 250, 80, _plain("endpoint_last_p99_milliseconds")),
    Target(
        "one VirtualService is edited, from Galley's answer, p99 of the last ACK",
        "ms",
        400,
        150,
        _plain("virtual_service_last_p99_milliseconds"),
    ),
    Target("proxy updates, one worker", "/s", 4000, 10000, _plain("sustained_pushes_per_second"), most=False),
    Target("Pilot's processor time for a small push and its ACK", "us", 150, 80, _plain("sustained_push_microseconds")),
    Target("2,000 proxies come back after Pilot was killed", "s", 20, 6, _plain("reconnect_seconds")),
    Target("memory of Pilot with 2,000 proxies", "MiB", 500, 250, _plain("more_resident_mebibytes")),
    Target(
        "processor time for a push, 100 to 3,000 proxies: largest over smallest",
        "%",
        20,
        20,
        _spread("sustained_push_microseconds", "proxies"),
    ),
    Target(
        "a service is added, 100 to 5,000 services: growth of processor time (1 linear, 0 constant)",
        "",
        0.9,
        0.1,
        _growth("service_added_cpu_milliseconds", "services"),
    ),
    Target("Pilot starts with 1,000 services: to the first ACK", "s", 5, 2, _plain("cold_start_seconds")),
    Target("memory of Pilot with 10,000 idle proxies", "MiB", float("inf"), 1024, _plain("idle_resident_mebibytes")),
)
