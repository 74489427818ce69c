"""Whether the workers of Envoys serve what was ACKed: an ACK says that a listener is accepted, and for a moment after
it (longer on a busy machine) new connections may still meet the old one."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

DEADLINE = 6.0
"""Seconds. A listener that was replaced while it warmed never reaches a worker, and one without its secret warms on:
the counts then stay apart, and what calls find is judged as it is."""

_STATS = "listener_manager.(total_listeners_warming|listener_added|listener_modified|listener_create_success)$"


class ListenerWorkers:
    """Reads the listener managers of Envoys with one worker each, over their admin sockets."""

    def __init__(self, admin_sockets: list[str]) -> None:
        self._envoys = [httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=60.0) for path in admin_sockets]
        self._missed = [0] * len(self._envoys)

    def wait(self) -> None:
        """Until no listener warms and each one that was accepted since the last wait is with the worker."""
        for number, envoy in enumerate(self._envoys):
            deadline = time.monotonic() + DEADLINE
            while True:
                warming, missing = _state(envoy)
                if (warming == 0 and missing <= self._missed[number]) or time.monotonic() > deadline:
                    break
                threading.Event().wait(0.01)
            self._missed[number] = missing

    def close(self) -> None:
        """Lets go of the sockets."""
        for envoy in self._envoys:
            envoy.close()


def _state(envoy: httpx.Client) -> tuple[int, int]:
    """Listeners that warm, and accepted ones that no worker has (warming ones among them)."""
    answer: Any = envoy.get("http://envoy/stats", params={"filter": _STATS, "format": "json"}).json()
    of = {item["name"].removeprefix("listener_manager."): item["value"] for item in answer["stats"] if "name" in item}
    accepted = of["listener_added"] + of["listener_modified"]
    return of["total_listeners_warming"], accepted - of["listener_create_success"]
