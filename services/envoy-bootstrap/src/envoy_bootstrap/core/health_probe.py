"""Is the application healthy? Successes and failures of a probe become one answer, by Istio's thresholds. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from meshcore.errors import ErrorCode, MeshError


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A TCP connect, or an HTTP GET when there is a path."""

    host: str
    port: int
    path: str | None = None


def parse_probe(text: str, default_host: str) -> ProbeTarget:
    """Read `tcp://[host]:port` or `http://[host]:port/path`; without a host the application's own address is meant."""
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("tcp", "http") or port is None:
        raise MeshError(ErrorCode.INVALID, f"{text!r} is not a probe such as tcp://:9080 or http://:9080/health")
    path = None if parts.scheme == "tcp" else (parts.path or "/")
    return ProbeTarget(parts.hostname or default_host, port, path)


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
