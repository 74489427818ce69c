"""Keeps what Pilot gives Envoy by `credentialName`, sealed on disk where there is a state key: an Envoy that starts
while Pilot is away serves HTTPS again. So are credentials of image registries, which are the agent's own to use."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.xds.secret_names import PULL
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.adapters.stored_state import StoredState
from envoy_bootstrap.core.discovery import Resources, Versioned

_log = structlog.get_logger("secrets")


class KeptSecrets:
    """`held` by name. `changed` is called with the names to ask Pilot for and those to let go."""

    type_url = SECRET_TYPE

    def __init__(self, stored: StoredState) -> None:
        self._stored = stored
        self._held = stored.load_secrets()
        self._wanted = frozenset(self._held)
        self._arrived = asyncio.Event()
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
        self._want(names | self._for_pulls)

    def pull_with(self, names: frozenset[str]) -> None:
        """The agent pulls images with these now and no others."""
        self._want((self._wanted - self._for_pulls) | names)

    def generic(self, name: str) -> bytes:
        """The content of a Secret that is the agent's own to use; empty as long as there is none."""
        held = self._held.get(name)
        return b"" if held is None else secret_pb2.Secret.FromString(held.body).generic_secret.secret.inline_bytes

    async def arrival(self, name: str, within: float) -> None:
        """Wait for it, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while name not in self._held:
                    await self._arrived.wait()

    async def news(self, within: float) -> None:
        """Wait until some Secret is another than it was, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._arrived.wait()

    def received(self, response: Any) -> None:
        """A message of Pilot's."""
        sent = response.resources
        news = {one.name: Versioned(one.version, one.resource.value) for one in sent if one.name in self._wanted}
        if any(self._held.get(name) != one for name, one in news.items()):
            self._held = {**self._held, **news}
            self._save()
            self._arrived.set()
            self._arrived = asyncio.Event()
            _log.info("secrets are kept for a start without pilot", resources=sorted(news))

    @property
    def _for_pulls(self) -> frozenset[str]:
        return frozenset(name for name in self._wanted if name.startswith(PULL))

    def _want(self, names: frozenset[str]) -> None:
        added, gone = names - self._wanted, self._wanted - names
        if not added and not gone:
            return
        self._wanted = names
        if gone & self._held.keys():
            self._held = {name: one for name, one in self._held.items() if name in names}
            self._save()
        self.changed(added, gone)

    def _save(self) -> None:
        try:
            self._stored.save_secrets(self._held)
        except OSError as error:
            _log.error("secrets are not stored", reason=error.strerror)
