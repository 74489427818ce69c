"""GETs for URLs that somebody wrote into config: each address checked before it is dialled, redirects by the same
rules, and no credentials for another server than they were meant for. What is read is bounded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from meshcore.errors import ErrorCode, MeshError
from meshcore.fetch_guard import Network
from meshcore.http.guarded_request import OutOfBounds, guarded_get

_MOST_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(25.0)
_HEADERS = {"accept-encoding": "identity", "user-agent": "meshcore-agent"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a chain of redirects; `body` is whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class GuardedFetch:
    """`blocked` is out of bounds beyond what always is."""

    def __init__(self, blocked: tuple[Network, ...] = ()) -> None:
        self._blocked = blocked

    async def get(self, url: str, limit: int, headers: Mapping[str, str] | None = None) -> Answer:
        """UNAVAILABLE when there is no answer, or one of more than `limit` bytes; no word of `headers` is in errors."""
        try:
            async with httpx.AsyncClient(headers=_HEADERS, trust_env=False, timeout=_TIMEOUT) as client:
                return await self._followed(client, httpx.URL(url), limit, dict(headers or {}))
        except OutOfBounds as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module cannot be fetched: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, OSError, ValueError) as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module cannot be fetched: {type(error).__name__}") from None

    async def _followed(self, client: httpx.AsyncClient, url: httpx.URL, limit: int, headers: dict[str, str]) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            request = await guarded_get(client, url, self._blocked)
            request.headers.update(headers)
            response = await client.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    return Answer(response.status_code, response.headers, await _body(response, limit))
                after = url.join(response.headers["location"])
            finally:
                await response.aclose()
            if url.scheme == "https" and after.scheme != "https":
                raise OutOfBounds("it redirects from https to another scheme")
            if (after.scheme, after.netloc) != (url.scheme, url.netloc):
                headers.pop("authorization", None)
            url = after
        raise OutOfBounds(f"it redirects more than {_MOST_REDIRECTS} times")


async def _body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the module is larger than {limit} bytes")
    return bytes(body)
