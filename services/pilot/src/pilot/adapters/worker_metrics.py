"""The metrics of all workers of a Pilot on the parent's `/metrics`, as those of one.

What was counted is added up, and never falls: a worker that is silent counts as it did last, and one that has ended as
it did then, so that what follows it begins where it stopped. What is measured of a worker's own streams is added up
over those that live (`telemetry.ADDED_UP`); what all of them know alike is shown once. What they take of the machine is
shown for each, with a label.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from meshcore import metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pilot.adapters import telemetry
from pilot.adapters.answers import Source

EVERY = 2.0
"""Seconds between two looks at the workers."""
Families = Iterable[Mapping[str, Any]]


class Workers(Source, Protocol):
    """Who is asked."""

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of those that run."""


class WorkerMetrics(Collector):
    """What the workers said last, with what those that have ended had counted."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._last: dict[str, Mapping[str, Any]] = {}
        self._ended = _Sum()

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: names are known once a worker has answered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The metrics of all of them, and of this process what it takes of the machine."""
        found = self._ended.copy()
        taken = _Sum()
        taken.add(telemetry.documents([metrics.PROCESS]))
        for name, answer in sorted(self._last.items()):
            found.add(answer["families"])
            taken.add(answer["process"], worker=name)
        return [*found.metrics(), *taken.metrics()]

    async def follow(self) -> None:
        """Ask again and again, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Ask once."""
        gathered = await self._workers.ask("metrics", {}, 0)
        for name, answer in gathered.answers.items():
            self._forget(name, {answer["pid"]})
            self._last[name] = answer
        running = set(self._workers.pids.values())
        for name in tuple(self._last):
            self._forget(name, running)

    def _forget(self, name: str, running: set[int]) -> None:
        """Of a worker that is none of these processes any more nothing but its counts is left."""
        known = self._last.get(name)
        if known is not None and known["pid"] not in running:
            self._ended.add(family for family in known["families"] if family["type"] != "gauge")
            del self._last[name]


class _Sum:
    """Families by name, with values by the sample's name and labels."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str]] = {}
        self._values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}

    def copy(self) -> "_Sum":
        made = _Sum()
        made._families = dict(self._families)
        made._values = {name: dict(values) for name, values in self._values.items()}
        return made

    def add(self, families: Families, **more: str) -> None:
        """`more` are labels of all samples."""
        for family in families:
            name = family["name"]
            self._families.setdefault(name, (family["help"], family["type"]))
            alike = family["type"] == "gauge" and name not in telemetry.ADDED_UP
            values = self._values.setdefault(name, {})
            for sample, labels, value in family["samples"]:
                key = (sample, tuple(sorted({**labels, **more}.items())))
                known = values.get(key, 0.0)
                values[key] = max(known, value) if alike else known + value

    def metrics(self) -> list[Metric]:
        made = []
        for name, (text, kind) in self._families.items():
            metric = Metric(name, text, kind)
            for (sample, labels), value in self._values[name].items():
                metric.add_sample(sample, dict(labels), value)
            made.append(metric)
        return made
