"""The trust bundle in force, and those who want to know when it changes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from meshcore.xds.resource import ResourceSet

from citadel.core.authority import Authority
from citadel.core.trust_bundle import bundle_resources


class TrustBundle:
    """PEM of every root of the mesh, the revocation lists, and the roots of others; `follow` wakes every watcher."""

    def __init__(self, authority: Authority) -> None:
        self.revision = 0
        self._watchers: set[asyncio.Event] = set()
        self._use(authority)

    def _use(self, authority: Authority) -> None:
        self._authority = authority
        self.pem = authority.bundle_pem
        self.revoked_pem = authority.revoked_pem
        self._foreign_pem = authority.foreign_pem
        self.revision += 1
        self.digest = authority.bundle_digest
        self._resources: dict[x509.Certificate | None, ResourceSet] = {}

    def resources(self, first: x509.Certificate | None = None) -> ResourceSet:
        """The secrets for a holder whose certificates lead to `first`, which comes first; None: to the mesh's own."""
        if first not in self._resources:
            pem = self._authority.bundle_from(first)
            self._resources[first] = bundle_resources(pem, self.revoked_pem, self._foreign_pem)
        return self._resources[first]

    def follow(self, authority: Authority) -> None:
        """Put the bundle of this authority into force; the same one again changes nothing."""
        parts = authority.bundle_pem, authority.revoked_pem, authority.foreign_pem
        if parts == (self.pem, self.revoked_pem, self._foreign_pem):
            return
        self._use(authority)
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
