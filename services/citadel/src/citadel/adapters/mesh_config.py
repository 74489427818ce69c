"""Watches MeshConfig through the config feed; Citadel issues with or without it."""

from pathlib import Path

import structlog
from meshcore.bus.connection import BusSettings, connect
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState

from citadel.adapters import telemetry
from citadel.core.mesh_settings import mesh_config_key, named_trust_domain

_log = structlog.get_logger("mesh-config")


class MeshConfigWatch:
    """Reports a MeshConfig whose trust domain is not this authority's."""

    def __init__(self, settings: BusSettings, last_copy: Path | None, trust_domain: str, root: str, name: str) -> None:
        self._settings = settings
        self._last_copy = last_copy
        self._trust_domain = trust_domain
        self._key = mesh_config_key(root, name)

    async def run(self) -> None:
        """Follow the feed until cancelled."""
        async with connect(self._settings) as bus:
            async for event in ConfigFeed(bus, self._last_copy).events():
                if isinstance(event, FullState):
                    record = event.entries.get(self._key)
                    self._compare(named_trust_domain(None if record is None or record.deleted else record.object))
                    continue
                for change in event.changes:
                    if change.key == self._key:
                        self._compare(named_trust_domain(change.object))

    def _compare(self, named: str | None) -> None:
        differs = named is not None and named != self._trust_domain
        telemetry.TRUST_DOMAIN_MISMATCH.set(int(differs))
        if differs:
            _log.error("mesh config names another trust domain", named=named, in_force=self._trust_domain)
