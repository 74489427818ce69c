"""Fetches one key set for whoever wrote a URL into config, and lets that URL do nothing else.

Names are resolved here, every address is checked and the connection goes to the checked one, so a name that changes its
mind between check and dial changes nothing. Redirects are followed by the same rules. Time and size are bounded.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import httpx
from meshcore.errors import MeshError
from meshcore.fetch_guard import Network
from meshcore.http.guarded_request import OutOfBounds, guarded_get

from pilot.core.issuer_keys import DISCOVERY_PATH, LARGEST_DOCUMENT, KeySource, fetched_keys

_MOST_REDIRECTS = 5
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "pilot"}


class NotFetched(Exception):
    """Why there are no keys, in words for the author of the config; nothing of an answer's body is in it."""


@dataclass(frozen=True)
class IssuerFetch:
    """How key sets are fetched: whom to trust beyond what the system trusts (the certificates of a file, if there is
    one), and what is out of bounds beyond what always is."""

    extra: Path | None = None
    blocked: tuple[Network, ...] = ()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Made for the first fetch: reading what the system trusts takes 20 ms of a start."""
        context = ssl.create_default_context()
        if self.extra is not None and self.extra.exists():
            context.load_verify_locations(self.extra)
        return context

    async def keys(self, source: KeySource, limit: timedelta) -> str:
        """The key set in its one form; NotFetched says why there is none, at the latest after `limit`."""
        seconds = limit.total_seconds()
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(verify=self.tls, headers=_HEADERS, trust_env=False, timeout=seconds) as client,
            ):
                uri = source.uri or await self._discovered(client, source.issuer)
                return fetched_keys(await self._read(client, uri))
        except TimeoutError:
            raise NotFetched(f"no answer within {seconds:g} s") from None
        except MeshError as error:
            raise NotFetched(error.detail) from None
        except OutOfBounds as error:
            raise NotFetched(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, OSError, ValueError, RecursionError) as error:
            raise NotFetched(f"{type(error).__name__}: {error}") from None

    async def _discovered(self, client: httpx.AsyncClient, issuer: str) -> str:
        """OpenID Connect Discovery 1.0, section 4."""
        document = json.loads(await self._read(client, issuer.rstrip("/") + DISCOVERY_PATH))
        uri = document.get("jwks_uri") if isinstance(document, dict) else None
        if not isinstance(uri, str):
            raise NotFetched("discovery names no jwks_uri")
        if document.get("issuer") != issuer:
            raise NotFetched("discovery answers for another issuer")
        return uri

    async def _read(self, client: httpx.AsyncClient, uri: str) -> bytes:
        url = httpx.URL(uri)
        for _ in range(_MOST_REDIRECTS + 1):
            request = await guarded_get(client, url, self.blocked)
            response = await client.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    return await _body(response)
                after = url.join(response.headers["location"])
            finally:
                await response.aclose()
            if url.scheme == "https" and after.scheme != "https":
                raise NotFetched("it redirects from https to another scheme")
            url = after
        raise NotFetched(f"it redirects more than {_MOST_REDIRECTS} times")


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise NotFetched(f"the answer has status {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise NotFetched("the answer is compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST_DOCUMENT:
            raise NotFetched(f"the answer has more than {LARGEST_DOCUMENT} bytes")
    return bytes(body)
