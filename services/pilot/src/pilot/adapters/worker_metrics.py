"""The metrics of all workers of a Pilot, summed, on the parent's `/metrics`."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from meshcore import metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pilot.adapters import telemetry
from pilot.adapters.answers import Source

EVERY = 2.0
"""Seconds between two looks at the workers."""


class WorkerMetrics(Collector):
    """What the workers said last. A worker that was restarted counts from zero, as any restarted process does."""

    def __init__(self, workers: Source) -> None:
        self._workers = workers
        self._families: dict[str, Metric] = {}
        telemetry.withdraw()
        metrics.REGISTRY.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: names are known once a worker has answered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The sums."""
        return list(self._families.values())

    async def follow(self) -> None:
        """Ask again and again, for ever."""
        while True:
            gathered = await self._workers.ask("metrics", {}, 0)
            self._families = summed(gathered.answers.values())
            await asyncio.sleep(EVERY)


def summed(parts: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, Metric]:
    """One family per name; samples of the same name and labels are added up."""
    families: dict[str, Metric] = {}
    totals: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for part in parts:
        for family in part:
            name = family["name"]
            families.setdefault(name, Metric(name, family["help"], family["type"]))
            known = totals.setdefault(name, {})
            for sample, labels, value in family["samples"]:
                key = (sample, tuple(sorted(labels.items())))
                known[key] = known.get(key, 0.0) + value
    for name, samples in totals.items():
        for (sample, labels), value in samples.items():
            families[name].add_sample(sample, dict(labels), value)
    return families
