"""What may be asked of an application to see whether it is well: Kubernetes' four ways. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation

_PATH = re.compile(r"/(app-health|app-lifecycle)/[^/]+/(livez|readyz|startupz|prestopz|poststartz)")
_KINDS = ("httpGet", "tcpSocket", "grpc", "exec")


@dataclass(frozen=True, slots=True)
class HttpGet:
    """2xx and 3xx are well. `headers` are sent beside those of who asks."""

    host: str
    port: int
    path: str = "/"
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """A connection that is taken is well."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Grpc:
    """SERVING of `grpc.health.v1.Health` is well; `service` may be empty."""

    host: str
    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Exit status 0 is well."""

    arguments: tuple[str, ...]


Action = HttpGet | TcpSocket | Grpc | Command


@dataclass(frozen=True, slots=True)
class AppProbe:
    """One of the application's own probes, asked on kubelet's behalf; seconds."""

    action: Action
    timeout: float = 1.0


AppProbes = Mapping[str, AppProbe]
"""By path of the status server."""


def parse_app_probes(document: Any, host: str) -> AppProbes:
    """Read ISTIO_KUBE_APP_PROBERS, already parsed from JSON; INVALID, naming each path that is wrong.

    `host` is where the application listens. Nothing else is ever asked: a path that is not here is nobody's.
    """
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, "is not a JSON object")
    probes, violations = {}, []
    for path, item in document.items():
        try:
            if not _PATH.fullmatch(path):
                raise MeshError(ErrorCode.INVALID, "is no path of a probe")
            action = parse_action(item, host)
            if isinstance(action, Command):
                raise MeshError(ErrorCode.INVALID, "has a command, which kubelet runs itself")
            probes[path] = AppProbe(action, float(item.get("timeoutSeconds") or 1))
        except (MeshError, TypeError, ValueError) as error:
            detail = error.detail if isinstance(error, MeshError) else str(error)
            violations.append(Violation(f"ISTIO_KUBE_APP_PROBERS[{path}]", detail))
    if violations:
        raise MeshError(ErrorCode.INVALID, "ISTIO_KUBE_APP_PROBERS is not valid", violations)
    return probes


def parse_action(document: Any, host: str) -> Action:
    """Read the one of `httpGet`, `tcpSocket`, `grpc`, `exec` that is there; INVALID for none, two, or a wrong one."""
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, "is not a probe")
    given = [kind for kind in _KINDS if isinstance(document.get(kind), dict)]
    if len(given) != 1:
        raise MeshError(ErrorCode.INVALID, f"must have exactly one of {', '.join(_KINDS)}")
    body: Mapping[str, Any] = document[given[0]]
    if given[0] == "exec":
        command = body.get("command")
        if not isinstance(command, list) or not command:
            raise MeshError(ErrorCode.INVALID, "has no command")
        return Command(tuple(str(word) for word in command))
    where = str(body.get("host") or host)
    port = body.get("port")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise MeshError(ErrorCode.INVALID, f"{port!r} is not a port")
    if given[0] == "tcpSocket":
        return TcpSocket(where, port)
    if given[0] == "grpc":
        return Grpc(where, port, str(body.get("service") or ""))
    path = str(body.get("path") or "/")
    headers = tuple((str(item["name"]), str(item.get("value", ""))) for item in body.get("httpHeaders") or ())
    tls = str(body.get("scheme") or "HTTP").upper() == "HTTPS"
    return HttpGet(where, port, path if path.startswith("/") else f"/{path}", tls, headers)


@dataclass(frozen=True, slots=True)
class ReadinessProbe:
    """How a workload that nobody else looks after is looked after; seconds, and Istio's defaults (ReadinessProbe)."""

    action: Action
    initial_delay: float = 0.0
    timeout: float = 1.0
    period: float = 10.0
    retry: float | None = None
    """Between looks while it is not well; None: the period."""
    success_threshold: int = 1
    failure_threshold: int = 1

    def pause(self, healthy: bool | None) -> float:
        """Until the next look."""
        return self.period if healthy or self.retry is None else self.retry


def parse_readiness_probe(document: Mapping[str, Any], host: str) -> ReadinessProbe:
    """Read ProxyConfig's `readinessProbe` (of a WorkloadGroup's `probe`); INVALID when it is none."""
    default = ReadinessProbe(TcpSocket(host, 1))

    def number(field_name: str, without: float) -> float:
        value = document.get(field_name) or without
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise MeshError(ErrorCode.INVALID, f"{field_name} is {value!r}, not a number")
        return float(value)

    return ReadinessProbe(
        action=parse_action(document, host),
        initial_delay=number("initialDelaySeconds", default.initial_delay),
        timeout=number("timeoutSeconds", default.timeout),
        period=number("periodSeconds", default.period),
        success_threshold=int(number("successThreshold", default.success_threshold)),
        failure_threshold=int(number("failureThreshold", default.failure_threshold)),
    )


@dataclass(frozen=True, slots=True)
class Application:
    """What the agent knows of the application beside it."""

    probes: AppProbes = field(default_factory=dict)
    readiness: ReadinessProbe | None = None
    metrics: tuple[tuple[str, int, str], ...] = ()
    """Host, port and path of each page of metrics."""
