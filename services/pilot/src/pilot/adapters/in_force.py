"""What one serving process has in force and why, with how true its config is, for `/api/v1/in-force`."""

import dataclasses
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshcore.bus.feed import ConfigFeed
from meshcore.durations import format_duration
from meshcore.runtime import Runtime

from pilot.adapters.hub import Hub
from pilot.core import status
from pilot.core.in_force import AFTER, ENDPOINTS, LONGEST, RATE, THROTTLE, WORKERS, Asked, Setting, bounds
from pilot.settings import PilotSettings


class InForce:
    """One per serving process; `copy` is where the last copy of the config lies."""

    def __init__(self, runtime: Runtime[PilotSettings], hub: Hub, copy: Path | None) -> None:
        self._runtime = runtime
        self._hub = hub
        self._copy = copy
        self._asked = asked_of(runtime.settings)
        self._feed: ConfigFeed | None = None
        self._taken_at: float | None = None

    def follows(self, feed: ConfigFeed) -> None:
        """This is where config comes from now."""
        self._feed = feed

    def taken(self) -> None:
        """The feed has brought a revision."""
        self._taken_at = time.time()

    def document(self) -> dict[str, Any]:
        """One item of `/api/v1/in-force`."""
        hub, engine = self._hub, self._hub.engine
        rows = [row for stream in engine.streams.values() if (row := status.standing(engine, stream)) is not None]
        found = bounds(
            self._asked, hub.admission, hub.throttle, engine.config_lane.debounce, engine.endpoint_lane.debounce
        )
        return {
            "version": self._runtime.version,
            "waits_for": {
                name: one.detail for name, one in sorted(self._runtime.readiness.conditions.items()) if not one.ok
            },
            "bounds": [dataclasses.asdict(one) for one in found],
            "config": self._config(),
            "proxies": {
                "connected": len(rows),
                "synced": rows.count(status.Standing.SYNCED),
                "refusing": rows.count(status.Standing.REFUSING),
                "starting": hub.admission.busy,
                "waiting": hub.admission.backlog,
            },
        }

    def _config(self) -> dict[str, Any]:
        engine, feed = self._hub.engine, None if self._feed is None else self._feed.status()
        revision, as_of = engine.snapshot.revision, None
        if feed is None or not self._hub.has_state.is_set():
            source = "none"
        elif feed.from_disk:
            source, as_of = "disk", self._written()
        else:
            source, as_of = "bus", None if math.isinf(feed.head_age) else time.time() - feed.head_age
        return {
            "source": source,
            "connected": feed is not None and feed.connected,
            "in_sync": feed is not None and feed.in_sync,
            "store": "" if feed is None else feed.store,
            "revision": revision,
            "generation": engine.generation,
            "taken_at": _time(self._taken_at),
            "as_of": _time(as_of),
        }

    def _written(self) -> float | None:
        try:
            return None if self._copy is None else self._copy.stat().st_mtime
        except FileNotFoundError:
            return None


def asked_of(settings: PilotSettings) -> Asked:
    """What the settings ask of this process, each as an operator would write it."""
    named = settings.model_fields_set

    def setting(variable: str, field: str) -> Setting:
        value = getattr(settings, field)
        text = format(value, "g") if isinstance(value, float) else str(value)
        return Setting(variable, text, field in named)

    return Asked(
        throttle=setting(THROTTLE, "push_throttle"),
        rate=setting(RATE, "max_requests_per_second"),
        after=Setting(AFTER, format_duration(settings.debounce_after), "debounce_after" in named),
        longest=Setting(LONGEST, format_duration(settings.debounce_max), "debounce_max" in named),
        endpoints=Setting(ENDPOINTS, str(settings.enable_eds_debounce).lower(), "enable_eds_debounce" in named),
        workers=setting(WORKERS, "workers"),
        sharing=sharing(settings),
    )


def sharing(settings: PilotSettings) -> int:
    """How many processes share what is asked of one Pilot."""
    return settings.workers if settings.worker >= 0 else 1


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
