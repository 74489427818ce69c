"""Envoy's admin interface on its Unix socket: one short HTTP request at a time."""

import asyncio

import h11
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.http_get import exchange

_MAX_BODY = 1 << 28


class EnvoyAdmin:
    """Asks one Envoy. Every failure to be answered is UNAVAILABLE."""

    def __init__(self, socket: str, timeout: float = 2.0) -> None:
        self.socket = socket
        self._timeout = timeout

    async def get(self, target: str, timeout: float | None = None) -> str:
        """The body of a 200 answer, within so many seconds; None: as for all."""
        return await self.ask("GET", target, timeout)

    async def post(self, target: str) -> str:
        """The body of a 200 answer to a command without a body."""
        return await self.ask("POST", target)

    async def stats(self, pattern: str) -> str:
        """`name: value` lines of the statistics that match."""
        return await self.get(f"/stats?filter={_quoted(pattern)}")

    async def ask(self, method: str, target: str, timeout: float | None = None) -> str:
        """The body of a 200 answer."""
        try:
            async with asyncio.timeout(self._timeout if timeout is None else timeout):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                try:
                    status, body, _ = await exchange(reader, writer, method, target, "envoy", _MAX_BODY)
                finally:
                    writer.close()
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Envoy does not answer {method} {target}") from error
        if status != 200:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Envoy answers {method} {target} with {status}")
        return body.decode("utf-8", "replace")


def _quoted(pattern: str) -> str:
    return "".join(c if c.isalnum() or c in "_.^$()|-" else f"%{ord(c):02X}" for c in pattern)
