"""Watches MeshConfig through the config feed; Citadel issues with or without it."""

from collections.abc import Callable
from pathlib import Path

import structlog
from meshcore.bus.connection import BusSettings, connect
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState
from meshcore.distribution.keys import Key

from citadel.adapters import telemetry
from citadel.core.mesh_settings import MeshSettings, mesh_settings

_log = structlog.get_logger("mesh-config")


class MeshConfigWatch:
    """Reports a MeshConfig whose trust domain is not this authority's, and passes on what it says else."""

    def __init__(
        self,
        settings: BusSettings,
        last_copy: Path | None,
        trust_domain: str,
        key: Key,
        obey: Callable[[MeshSettings], None],
    ) -> None:
        self._settings = settings
        self._last_copy = last_copy
        self._trust_domain = trust_domain
        self._key = key
        self._obey = obey

    async def run(self) -> None:
        """Follow the feed until cancelled."""
        async with connect(self._settings) as bus:
            async for event in ConfigFeed(bus, self._last_copy).events():
                if isinstance(event, FullState):
                    record = event.entries.get(self._key)
                    self._use(mesh_settings(None if record is None or record.deleted else record.object))
                    continue
                for change in event.changes:
                    if change.key == self._key:
                        self._use(mesh_settings(change.object))

    def _use(self, found: MeshSettings) -> None:
        for problem in found.problems:
            _log.warning("mesh config is passed over in part", reason=problem)
        self._obey(found)
        named = found.trust_domain
        differs = named is not None and named != self._trust_domain
        telemetry.TRUST_DOMAIN_MISMATCH.set(int(differs))
        if differs:
            _log.error("mesh config names another trust domain", named=named, in_force=self._trust_domain)
