"""The trust bundle in force, and those who want to know when it changes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from meshcore.xds.resource import ResourceSet

from citadel.core.trust_bundle import bundle_resources


class TrustBundle:
    """PEM of every root; `replace` wakes every watcher."""

    def __init__(self, pem: str) -> None:
        self.pem = pem
        self.revision = 1
        self.resources: ResourceSet = bundle_resources(pem)
        self._watchers: set[asyncio.Event] = set()

    def replace(self, pem: str) -> None:
        """Put another bundle into force; the same one again changes nothing."""
        if pem == self.pem:
            return
        self.pem = pem
        self.revision += 1
        self.resources = bundle_resources(pem)
        for watcher in self._watchers:
            watcher.set()

    @contextmanager
    def watched_by(self, wake: asyncio.Event) -> Iterator[None]:
        """Set `wake` at every change while the block lasts."""
        self._watchers.add(wake)
        try:
            yield
        finally:
            self._watchers.discard(wake)
