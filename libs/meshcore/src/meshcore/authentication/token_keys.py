"""The keys that workload tokens are signed with, by OIDC discovery, kept so that their use outlives the issuer.

The last good set is also on disk: a service may start while Galley is away. A token with an unknown key id causes one
refresh, and at most one per `UNKNOWN_KEY_PAUSE` seconds, however many such tokens come.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from meshcore.authentication.workload_token import ALGORITHMS
from meshcore.http.guarded_request import OutOfBounds, guarded_get
from meshcore.tls.identity import write_private

REFRESH_EVERY = 600.0
UNKNOWN_KEY_PAUSE = 5.0
FIRST_RETRY = 0.2
LAST_RETRY = 10.0
"""Seconds: between refreshes, between refreshes for unknown keys, first and longest pause after a failure."""
TIMEOUT = 5.0
LARGEST_DOCUMENT = 1024 * 1024
DISCOVERY_PATH = "/.well-known/openid-configuration"
_log = structlog.get_logger("token-keys")


class KeysUnavailable(Exception):
    """Why a refresh brought no keys."""


@dataclass(frozen=True)
class TokenIssuer:
    """Whose keys, where they are found, and what opens the way."""

    issuer: str
    tls: ssl.SSLContext
    discovery_url: str | None = None
    jwks_url: str | None = None
    token_file: Path | None = None

    async def fetch(self) -> str:
        """The JWKS document; KeysUnavailable says what is wrong.

        Link-local addresses and those of a cloud's metadata are not dialled, and redirects are not followed. The keys
        must lie at the host that discovery was asked at, unless `jwks_url` says otherwise: what an issuer writes into a
        document does not make the service call elsewhere.
        """
        base = (self.discovery_url or self.issuer).rstrip("/")
        try:
            async with httpx.AsyncClient(
                verify=self.tls, timeout=TIMEOUT, follow_redirects=False, headers=self._headers(), trust_env=False
            ) as client:
                url = self.jwks_url
                if url is None:
                    discovered = json.loads(await _read(client, base + DISCOVERY_PATH))
                    url = self._checked(discovered, base)
                return await _read(client, url)
        except OutOfBounds as error:
            raise KeysUnavailable(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise KeysUnavailable(f"{type(error).__name__}: {error}") from None

    def _headers(self) -> dict[str, str]:
        if self.token_file is None or not self.token_file.exists():
            return {}
        return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}

    def _checked(self, discovered: Any, base: str) -> str:
        if not isinstance(discovered, dict) or discovered.get("issuer") != self.issuer:
            raise KeysUnavailable("discovery answers for another issuer")
        url = discovered.get("jwks_uri")
        if not isinstance(url, str) or urlsplit(url)[:2] != urlsplit(base)[:2]:
            raise KeysUnavailable("discovery names keys at another host")
        return url


async def _read(client: Any, url: str) -> str:
    response = await client.send(await guarded_get(client, httpx.URL(url)), stream=True)
    try:
        if response.status_code != 200:
            raise KeysUnavailable(f"{url} answered {response.status_code}")
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_DOCUMENT:
                raise KeysUnavailable(f"{url} answered with too much")
        return body.decode()
    finally:
        await response.aclose()


def parse_keys(document: str) -> Mapping[str, jwt.PyJWK]:
    """The usable signing keys of a JWKS by key id; KeysUnavailable when there is none."""
    try:
        entries = json.loads(document)["keys"]
        found = {}
        for entry in entries:
            if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
                continue
            try:
                key = jwt.PyJWK(entry)
            except jwt.PyJWTError:
                continue
            if key.algorithm_name in ALGORITHMS:
                found[entry["kid"]] = key
    except (ValueError, KeyError, TypeError):
        raise KeysUnavailable("the key set is not a JWKS") from None
    if not found:
        raise KeysUnavailable("the key set has no key that signs tokens")
    return found


class TokenKeys:
    """The cached keys; `run` keeps them fresh and belongs into the service's task group."""

    def __init__(self, source: TokenIssuer, copy: Path | None, *, keeps: bool = True) -> None:
        self._source = source
        self._copy = copy if keeps else None
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._refreshing = asyncio.Lock()
        self._last_for_unknown = -UNKNOWN_KEY_PAUSE
        self.loaded = asyncio.Event()
        if copy is not None and copy.exists():
            try:
                self._use(parse_keys(copy.read_text()))
            except (KeysUnavailable, OSError, ValueError) as error:
                _log.warning("stored token keys are not usable", reason=str(error))

    @property
    def keys(self) -> Mapping[str, jwt.PyJWK]:
        """The keys by id; empty before the first success."""
        return self._keys

    async def with_key(self, key_id: str | None) -> Mapping[str, jwt.PyJWK]:
        """The keys, refreshed once if `key_id` is not among them and none was asked for lately."""
        if key_id is None or key_id in self._keys:
            return self._keys
        async with self._refreshing:
            now = asyncio.get_running_loop().time()
            if key_id not in self._keys and now - self._last_for_unknown >= UNKNOWN_KEY_PAUSE:
                self._last_for_unknown = now
                try:
                    await self._refresh()
                except KeysUnavailable as error:
                    _log.warning("token keys not refreshed", reason=str(error))
        return self._keys

    async def run(self) -> None:
        """Refresh for ever: soon after a failure, else every ten minutes."""
        pause = FIRST_RETRY
        while True:
            try:
                async with self._refreshing:
                    await self._refresh()
            except KeysUnavailable as error:
                _log.warning("token keys not refreshed", reason=str(error), retry=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_RETRY)
            else:
                pause = FIRST_RETRY
                await asyncio.sleep(REFRESH_EVERY)

    async def _refresh(self) -> None:
        document = await self._source.fetch()
        self._use(parse_keys(document))
        if self._copy is None:
            return
        try:
            await asyncio.to_thread(write_private, self._copy, document.encode())
        except OSError as error:
            _log.warning("token keys not stored", reason=error.strerror)

    def _use(self, keys: Mapping[str, jwt.PyJWK]) -> None:
        if set(keys) != set(self._keys):
            _log.info("token keys in use", key_ids=sorted(keys))
        self._keys = keys
        self.loaded.set()
