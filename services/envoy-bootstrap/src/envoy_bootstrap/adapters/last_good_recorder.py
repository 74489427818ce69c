"""Takes snapshots of Envoy's configuration and has the newest ready for the next Envoy."""

import asyncio

import structlog
from meshcore.errors import MeshError

from envoy_bootstrap.adapters.envoy_process import EnvoyProcess
from envoy_bootstrap.adapters.kept_secrets import KeptSecrets
from envoy_bootstrap.adapters.pulled_extensions import PulledExtensions
from envoy_bootstrap.adapters.stored_state import StoredState, compress, decompress
from envoy_bootstrap.adapters.supervisor import Supervisor
from envoy_bootstrap.core import readiness
from envoy_bootstrap.core.discovery import Resources
from envoy_bootstrap.core.kept_secrets import secrets_in_use
from envoy_bootstrap.core.last_good import CONFIG_DUMP, QuietWatch, resources_of_dump
from envoy_bootstrap.core.pulled_extension import extensions_in_use

_log = structlog.get_logger("last-good")
_LOOK_EVERY = 2.0
_DUMPED_WITHIN = 10.0
"""Seconds: 0.3 for 1,000 services, where Envoy has a processor to itself."""


class LastGoodRecorder:
    """The dump is kept compressed and turned into resources only when an Envoy asks: Pilot is seldom away."""

    def __init__(
        self, supervisor: Supervisor, stored: StoredState, secrets: KeptSecrets, extensions: PulledExtensions
    ) -> None:
        self._supervisor = supervisor
        self._stored = stored
        self._secrets = secrets
        self._extensions = extensions
        self._dump = stored.load_snapshot()
        self._watch, self._epoch = QuietWatch(), 0

    @property
    def snapshot(self) -> bytes:
        """The snapshot as it is stored; empty when there is none."""
        return self._dump or b""

    def inherit(self, snapshot: bytes) -> None:
        """Begin with another agent's."""
        self._dump = snapshot or self._dump

    async def resources(self) -> Resources:
        """The snapshot as resources, with the Secrets that it uses; empty when there is none."""
        if self._dump is None:
            return {}
        dump = self._dump
        left_out: list[str] = []
        found = await asyncio.to_thread(lambda: resources_of_dump(decompress(dump), left_out))
        if left_out:
            _log.warning("the last good configuration lacks resources", left_out=[text[:300] for text in left_out])
        return {**found, **self._secrets.resources}

    async def record_for_ever(self) -> None:
        """Look every two seconds whether it is time; the first configuration is kept at once."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await self.record(at_once=self._dump is None)

    async def record(self, *, at_once: bool) -> None:
        """Keep what is new when it is time, or `at_once` whatever has not been kept."""
        envoy = self._supervisor.envoy
        if envoy is None or not (await envoy.readiness()).ready:
            return
        try:
            due = await self._look(envoy)
            if due or (at_once and self._watch.pending):
                await self._keep(envoy)
        except MeshError as error:
            _log.warning("last good configuration not recorded", reason=error.detail)

    async def _look(self, envoy: EnvoyProcess) -> bool:
        if envoy.epoch != self._epoch:
            self._watch, self._epoch = QuietWatch(), envoy.epoch
        stats = readiness.parse_stats(await envoy.admin.stats(readiness.RECEIVED_STATS))
        self._watch, due = self._watch.observed(sum(stats.values()))
        return due

    async def _keep(self, envoy: EnvoyProcess) -> None:
        try:
            dump = await envoy.admin.get(CONFIG_DUMP, timeout=_DUMPED_WITHIN)
        except MeshError:
            self._watch = self._watch.failed()
            raise
        self._watch = self._watch.taken(len(dump))
        self._dump = await asyncio.to_thread(compress, dump)
        await asyncio.to_thread(self._stored.save_snapshot, self._dump)
        self._secrets.use(await asyncio.to_thread(secrets_in_use, dump))
        if self._extensions.wanted:
            self._extensions.use(await asyncio.to_thread(extensions_in_use, dump))
        _log.debug("last good configuration recorded", bytes=len(self._dump))
