"""Is the application healthy? Successes and failures of a probe become one answer, by Istio's thresholds. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.probes import HttpGet, ReadinessProbe, TcpSocket

_RETRY = 1.0


def parse_probe(text: str, default_host: str) -> ReadinessProbe:
    """Read `tcp://[host]:port` or `http://[host]:port/path`; without a host the application's own address is meant.

    The application is looked at every second while it is not healthy.
    """
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("tcp", "http") or port is None:
        raise MeshError(ErrorCode.INVALID, f"{text!r} is not a probe such as tcp://:9080 or http://:9080/health")
    host = parts.hostname or default_host
    action = TcpSocket(host, port) if parts.scheme == "tcp" else HttpGet(host, port, parts.path or "/")
    return ReadinessProbe(action, retry=_RETRY)


@dataclass(frozen=True, slots=True)
class ProbeState:
    """`healthy` is None until the first answer counts. Thresholds are consecutive probes (Istio's default is 1)."""

    healthy: bool | None = None
    streak: int = 0
    last: bool | None = None
    success_threshold: int = 1
    failure_threshold: int = 1

    def observed(self, success: bool) -> "ProbeState":
        """The state after one more probe."""
        streak = self.streak + 1 if self.last is success else 1
        needed = self.success_threshold if success else self.failure_threshold
        healthy = success if streak >= needed else self.healthy
        return ProbeState(healthy, streak, success, self.success_threshold, self.failure_threshold)
