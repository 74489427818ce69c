"""`/app-health/...` and `/app-lifecycle/...` of the status server: the application's own probes, asked for kubelet.

Kubelet has no certificate, so under STRICT mTLS its own probes would fail. Only what ISTIO_KUBE_APP_PROBERS names is
asked; whatever else is in the path or the headers changes neither host nor port nor path.
"""

from collections.abc import Collection
from typing import Any

from envoy_bootstrap.adapters import probing
from envoy_bootstrap.core.probes import Action, AppProbes

PREFIXES = ("/app-health", "/app-lifecycle")
SOURCES = {False: "127.0.0.6", True: "::6"}
"""Where the agent connects from, by whether it is IPv6: what comes from there is not captured (Istio's rules)."""


def uncaptured_source(action: Action, own_addresses: Collection[str]) -> str | None:
    """Where to connect from for the workload's own address; None for any other, to which no rule leads back.

    What the proxy's user says to that address from anywhere else comes in as a stranger's plaintext, which STRICT
    refuses (Istio's health checker binds the same address).
    """
    host = getattr(action, "host", "")
    return SOURCES[":" in host] if host in own_addresses else None


class AppProbeRoute:
    """`source` is None where nothing is captured."""

    def __init__(self, probes: AppProbes, status_port: int, source: str | None) -> None:
        self._probes = probes
        self._status_port = status_port
        self._source = source

    async def answer(self, scope: dict[str, Any]) -> tuple[int, str]:
        """Status and text."""
        probe = self._probes.get(scope["path"])
        if probe is None:
            return 400, "no such probe\n"
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope.get("headers", ())]
        port = getattr(probe.action, "port", 0)
        host, colon, asked = next((value for name, value in headers if name == "host"), "").rpartition(":")
        authority = f"{host}:{port}" if colon and asked == str(self._status_port) else ""
        try:
            status = await probing.answer(
                probe.action, probe.timeout, source=self._source, headers=headers, authority=authority
            )
        except TimeoutError:
            return 504, "the application did not answer in time\n"
        return status, ""
