"""Extensions whose modules the agent pulls: Envoy asks for them here, Pilot describes them on the agent's own stream.

What Pilot has described is kept, sealed on disk where there is a state key, so an Envoy that starts while Pilot is away
has its filters. Nothing is pulled that Envoy has not asked for. While a module cannot be had, Envoy has a filter that
lets all pass or nobody, and it is tried again for ever.
"""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import structlog
from envoy.service.extension.v3 import config_discovery_pb2_grpc
from meshcore.errors import MeshError
from meshcore.runtime import tasks
from meshcore.xds.types import EXTENSION_CONFIG_TYPE

from envoy_bootstrap.adapters.kept_secrets import KeptSecrets
from envoy_bootstrap.adapters.local_discovery import Discovery
from envoy_bootstrap.adapters.pulled_modules import PulledModules
from envoy_bootstrap.adapters.stored_state import StoredState
from envoy_bootstrap.core.back_off import PULL_BACK_OFF
from envoy_bootstrap.core.discovery import DeltaDiscovery, SotwDiscovery, Versioned
from envoy_bootstrap.core.pulled_extension import PulledExtension

_log = structlog.get_logger("extensions")
_CREDENTIALS_WITHIN = 5.0
"""Seconds that credentials may take to come from Pilot before it is tried without."""


class PulledExtensions:
    """Described by Pilot, served to Envoy. `changed` is called with the names to ask Pilot for and those to let go."""

    type_url = EXTENSION_CONFIG_TYPE

    def __init__(self, stored: StoredState, modules: PulledModules, secrets: KeptSecrets) -> None:
        self._stored = stored
        self._modules = modules
        self._secrets = secrets
        self._described: Mapping[str, Versioned] = stored.load_extensions()
        self._asked_for: frozenset[str] = frozenset()
        self._making: dict[str, asyncio.Task[None]] = {}
        self.served = Discovery(self._asked)
        self.changed: Callable[[frozenset[str], frozenset[str]], None] = lambda added, gone: None

    @property
    def wanted(self) -> Mapping[str, str]:
        """Every name to ask Pilot for, with the version that is held; empty for none."""
        names = self._asked_for | self._described.keys()
        return {name: self._described[name].version if name in self._described else "" for name in sorted(names)}

    def received(self, response: Any) -> None:
        """A message of Pilot's."""
        sent = {one.name: Versioned(one.version, one.resource.value) for one in response.resources}
        news = {name: one for name, one in sent.items() if self._described.get(name) != one}
        if not news:
            return
        self._described = {**self._described, **news}
        self._save()
        self._use_secrets()
        for name in sorted(news):
            self._begin(name)

    def use(self, names: frozenset[str]) -> None:
        """Envoy's listeners have these, and those that get ready have what is being watched: the rest is forgotten."""
        known = self.wanted.keys()
        gone = frozenset(one for one in known - names if not self.served.watches(EXTENSION_CONFIG_TYPE, one))
        if not gone:
            return
        self._asked_for -= gone
        self._described = {name: one for name, one in self._described.items() if name not in gone}
        self._save()
        self._use_secrets()
        for name in gone & self._making.keys():
            self._making.pop(name).cancel()
        served = self.served.resources.get(EXTENSION_CONFIG_TYPE, {})
        self.served.replace({EXTENSION_CONFIG_TYPE: {name: one for name, one in served.items() if name not in gone}})
        self.changed(frozenset(), gone)

    async def stop(self) -> None:
        """Pull nothing more."""
        await tasks.cancel(*self._making.values())

    def _asked(self, names: Iterable[str]) -> None:
        added = frozenset(names) - self._asked_for
        if not added:
            return
        unknown = added - self.wanted.keys()
        self._asked_for |= added
        if unknown:
            self.changed(unknown, frozenset())
        for name in sorted(added):
            self._begin(name)

    def _use_secrets(self) -> None:
        read = map(_read, self._described.values())
        self._secrets.pull_with(frozenset(one.wanted.secret for one in read if one is not None and one.wanted.secret))

    def _begin(self, name: str) -> None:
        """Make of the newest description what Envoy is to have, if it asks for it."""
        if (former := self._making.pop(name, None)) is not None:
            former.cancel()
        described = self._described.get(name)
        if name not in self._asked_for or described is None:
            return
        if (extension := _read(described)) is None:
            _log.error("a description cannot be read", extension=name)
            return
        self._making[name] = tasks.create_task(self._make(extension), name=f"wasm module of {name}")

    async def _make(self, extension: PulledExtension) -> None:
        secret, attempt = extension.wanted.secret, 0
        if secret:
            await self._secrets.arrival(secret, _CREDENTIALS_WITHIN)
        while True:
            credentials = self._secrets.generic(secret) if secret else b""
            try:
                path = await self._modules.get(extension.wanted, credentials)
            except MeshError as error:
                _log.warning("a wasm module cannot be had", extension=extension.name, why=error.detail)
                self._offer(extension.name, extension.stand_in)
            else:
                self._offer(extension.name, extension.with_module(str(path.absolute())))
                return
            pause = PULL_BACK_OFF.delay(attempt, random.random())  # noqa: S311 - spreads a fleet
            await (self._secrets.news(pause) if secret else asyncio.sleep(pause))
            attempt += 1

    def _offer(self, name: str, body: bytes) -> None:
        served = self.served.resources.get(EXTENSION_CONFIG_TYPE, {})
        version = hashlib.blake2b(body, digest_size=8).hexdigest()
        self.served.replace({EXTENSION_CONFIG_TYPE: {**served, name: Versioned(version, body)}})

    def _save(self) -> None:
        try:
            self._stored.save_extensions(self._described)
        except OSError as error:
            _log.error("extensions are not stored", reason=error.strerror)


class ExtensionService(config_discovery_pb2_grpc.ExtensionConfigDiscoveryServiceServicer):  # type: ignore[misc]
    """On a socket of Envoy's own machine."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def DeltaExtensionConfigs(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """The incremental variant."""
        async for response in self._discovery.serve(requests, DeltaDiscovery(self._discovery.resources)):
            yield response

    async def StreamExtensionConfigs(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """The state-of-the-world variant."""
        async for response in self._discovery.serve(requests, SotwDiscovery(self._discovery.resources)):
            yield response


def _read(described: Versioned) -> PulledExtension | None:
    with contextlib.suppress(MeshError):
        return PulledExtension.read(described.body)
    return None
