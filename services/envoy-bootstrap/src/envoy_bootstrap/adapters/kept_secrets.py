"""Keeps what Pilot gives Envoy by `credentialName`, sealed on disk where there is a state key: an Envoy that starts
while Pilot is away serves HTTPS again."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.adapters.stored_state import StoredState
from envoy_bootstrap.core.discovery import Resources, Versioned

_log = structlog.get_logger("secrets")


class KeptSecrets:
    """`held` by name. `changed` is called with the names to ask Pilot for and those to let go."""

    def __init__(self, stored: StoredState) -> None:
        self._stored = stored
        self._held = stored.load_secrets()
        self._wanted = frozenset(self._held)
        self.changed: Callable[[frozenset[str], frozenset[str]], None] = lambda added, gone: None

    @property
    def wanted(self) -> Mapping[str, str]:
        """Every name that is to be kept, with the version that is held; empty for none."""
        return {name: self._held[name].version if name in self._held else "" for name in sorted(self._wanted)}

    @property
    def resources(self) -> Resources:
        """What is held, for an Envoy that cannot have it from Pilot."""
        return {SECRET_TYPE: dict(self._held)} if self._held else {}

    def use(self, names: frozenset[str]) -> None:
        """Envoy uses these now and no others: what it has no use for any more is not kept."""
        added, gone = names - self._wanted, self._wanted - names
        if not added and not gone:
            return
        self._wanted = names
        if gone & self._held.keys():
            self._held = {name: one for name, one in self._held.items() if name in names}
            self._save()
        self.changed(added, gone)

    def received(self, resources: Any) -> None:
        """Resources of a message of Pilot's."""
        news = {one.name: Versioned(one.version, one.resource.value) for one in resources if one.name in self._wanted}
        if any(self._held.get(name) != one for name, one in news.items()):
            self._held = {**self._held, **news}
            self._save()
            _log.info("secrets are kept for a start without pilot", resources=sorted(news))

    def _save(self) -> None:
        try:
            self._stored.save_secrets(self._held)
        except OSError as error:
            _log.error("secrets are not stored", reason=error.strerror)
