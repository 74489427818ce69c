"""Follows the config feed and keeps the state that the webhook answers from."""

from collections.abc import AsyncIterator

import structlog
from meshcore import metrics
from meshcore.distribution.events import ChangeSet, FullState
from meshcore.runtime import Readiness

from injector.core.mesh_state import MeshState

CONDITION = "config"
"""The readiness condition: a configuration is in force."""

_log = structlog.get_logger("feed")
_invalid = metrics.gauge("injector_config_invalid", "1 while the newest injection configuration is not in force.")
_revision = metrics.gauge("injector_config_revision", "Revision of the configuration in force.")


class MeshFeed:
    """The newest state; `state` is None until the first whole state has come."""

    def __init__(self, empty: MeshState, readiness: Readiness) -> None:
        self._state = empty
        self._readiness = readiness
        readiness.expect(CONDITION)
        self.state: MeshState | None = None
        self.revision = 0

    async def follow(self, events: AsyncIterator[FullState | ChangeSet]) -> None:
        """Apply events until they end."""
        async for event in events:
            if isinstance(event, FullState):
                entries = [(key, None if record.deleted else record.object) for key, record in event.entries.items()]
                self._state = self._state.replaced(entries)
                _log.info("config state received", revision=event.revision, from_disk=event.from_disk)
            else:
                self._state = self._state.applied([(change.key, change.object) for change in event.changes])
            self._report(event.revision, isinstance(event, FullState) and event.from_disk)

    def _report(self, revision: int, from_disk: bool) -> None:
        if self._state.problems and (self.state is None or self.state.problems != self._state.problems):
            _log.error("injection configuration refused, the last good one stays", problems=self._state.problems)
        self.state = self._state
        self.revision = revision
        _invalid.set(bool(self._state.problems))
        _revision.set(revision)
        # an old configuration is still the last good one: it is told, it does not take the webhook away
        self._readiness.set(
            CONDITION, True, "; ".join(self._state.problems) or ("last copy on disk" if from_disk else "")
        )
