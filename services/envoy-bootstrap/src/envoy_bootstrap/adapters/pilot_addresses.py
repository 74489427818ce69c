"""Keeps the file with Pilot's addresses up to date where Pilot has a name."""

import asyncio
import json
import socket
from pathlib import Path

import structlog
from meshcore.tls import write_private

from envoy_bootstrap.core.addresses import HostPort, UnixSocket
from envoy_bootstrap.core.static_clusters import endpoints_document

_log = structlog.get_logger("pilot")
_RESOLVE_EVERY = 5.0
ENDPOINTS_FILE = "pilot-endpoints.json"


class PilotAddresses:
    """Resolves the name, as Envoy's own DNS clusters would, every five seconds."""

    def __init__(self, pilot: HostPort, agent_ads: UnixSocket, file: Path) -> None:
        self._pilot = pilot
        self._agent_ads = agent_ads
        self._file = file
        self._known: list[HostPort] | None = None

    async def refresh(self) -> None:
        """Write the file when the addresses are new; a name that cannot be resolved keeps the last ones."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._pilot.host, self._pilot.port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            _log.warning("pilot's name is not resolved", host=self._pilot.host, reason=error.strerror)
            addresses = self._known or []
        else:
            addresses = [HostPort(host, self._pilot.port) for host in sorted({str(entry[4][0]) for entry in found})]
        if addresses != self._known:
            document = endpoints_document(addresses, self._agent_ads)
            await asyncio.to_thread(write_private, self._file, json.dumps(document).encode())
            self._known = addresses

    async def refresh_for_ever(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_RESOLVE_EVERY)
            await self.refresh()

    async def forget(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)
