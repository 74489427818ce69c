"""How large a run is, and what of it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """`parts` in their order (`bench.scale.parts`); `reconnecting` are the proxies that are there when Pilot is killed,
    `turns` the changes of each kind, `seconds` those of changes as fast as they go, `runs` how often all of it is
    measured anew: docs/performance.md shows medians of five."""

    parts: tuple[str, ...] = ("cold_start", "changes", "reconnect")
    services: int = 1000
    proxies: int = 1000
    classes: int = 50
    reconnecting: int = 2000
    turns: int = 20
    seconds: float = 10.0
    workers: int = 1
    envoys: int = 0
    idle_proxies: int = 10_000
    proxy_steps: tuple[int, ...] = (100, 1000, 3000)
    service_steps: tuple[int, ...] = (100, 1000, 5000)
    runs: int = 1

    @property
    def more(self) -> bool:
        """Whether more proxies come back than changes are measured with."""
        return self.reconnecting > self.proxies

    def with_options(self, options: Mapping[str, Any]) -> Profile:
        """With what was said on the command line."""
        said = {one.name: options.get(one.name) for one in fields(self)}
        made = replace(self, **{name: value for name, value in said.items() if value is not None})
        return made if made.reconnecting >= made.proxies else replace(made, reconnecting=made.proxies)


_SMALL = {"classes": 10, "turns": 5, "seconds": 3.0}
PROFILES = {
    "table": Profile(seconds=5.0, runs=5),
    "quick": Profile(services=200, proxies=200, reconnecting=400, **_SMALL),  # type: ignore[arg-type]
    "tiny": Profile(
        ("cold_start", "changes", "reconnect", "proxies", "idle", "services"),
        services=20,
        proxies=20,
        classes=4,
        reconnecting=30,
        turns=1,
        seconds=0.3,
        idle_proxies=40,
        proxy_steps=(10, 20),
        service_steps=(20, 40),
    ),
    "proxies": Profile(("proxies",), turns=5, seconds=3.0, runs=5),
    "services": Profile(("services",), services=100, classes=10, turns=5, runs=5),
    "idle": Profile(("idle",)),
    "envoys": Profile(("envoys",), turns=3, envoys=20),
    "workers": Profile(("workers",), seconds=5.0, workers=2, runs=5),
}
