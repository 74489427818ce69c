"""What a service still waits for before it says that it is ready.

Each part of a service owns one named condition. The service is ready when it has started, is not stopping, and every
condition holds. Single event loop; no I/O.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that readiness depends on, with a short reason for people."""

    ok: bool
    detail: str = ""


class Readiness:
    """The registry of conditions behind `/readyz`."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {"started": Condition(False, "starting")}
        self._changed = asyncio.Event()

    def expect(self, *names: str) -> None:
        """Announce conditions that do not hold yet; one that was already set is left alone."""
        for name in names:
            self._conditions.setdefault(name, Condition(False, "waiting"))

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        """Say whether `name` holds; `detail` is shown by `/readyz`, so it carries no secret."""
        self._conditions[name] = Condition(ok, detail)
        self._changed.set()

    def forget(self, name: str) -> None:
        """Drop a condition; an unknown one is no error."""
        self._conditions.pop(name, None)
        self._changed.set()

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """All conditions by name."""
        return MappingProxyType(self._conditions)

    @property
    def ready(self) -> bool:
        """Whether every condition holds."""
        return self._holds(())

    async def wait(self, *besides: str) -> None:
        """Return once every condition holds, `besides` these; the caller brings the deadline (`asyncio.timeout`)."""
        while not self._holds(besides):
            self._changed.clear()
            await self._changed.wait()

    def _holds(self, besides: tuple[str, ...]) -> bool:
        return all(condition.ok for name, condition in self._conditions.items() if name not in besides)
