"""What is asked of `explain`: a request in the words of a user, and the service that it means to one workload. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from meshcore.errors import ErrorCode, MeshError
from meshcore.hosts import most_specific

from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.registry import Port, Service
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import Scope, service_is_visible

_PORTS = {"http": 80, "https": 443, "grpc": 80}


@dataclass(frozen=True)
class Question:
    """One request. `port` 0 means that of the service if it has one only, else that of the scheme."""

    host: str
    port: int = 0
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"
    """http, https (the application's own TLS), grpc, tcp."""

    def __str__(self) -> str:
        """As a URL."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{self.path if self.scheme != 'tcp' else ''}"


def parse_question(
    to: str, path: str = "", method: str = "GET", headers: Mapping[str, str] | None = None, port: int = 0
) -> Question:
    """`host[:port]` or a URL; INVALID says what is wrong. `path` and `port` win over those in `to`."""
    scheme, _, rest = to.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        named = parts.port or 0
    except ValueError as error:
        raise MeshError(ErrorCode.INVALID, f"{to!r} names no host: {error}") from None
    if not parts.hostname or (scheme and scheme not in {*_PORTS, "tcp"}):
        raise MeshError(ErrorCode.INVALID, f"{to!r} is neither HOST[:PORT] nor a URL of http, https, grpc or tcp")
    target = path or (parts.path + (f"?{parts.query}" if parts.query else "")) or "/"
    if not target.startswith("/"):
        raise MeshError(ErrorCode.INVALID, f"the path {target!r} does not begin with /")
    return Question(parts.hostname, port or named, target, method.upper(), dict(headers or {}), scheme or "http")


@dataclass(frozen=True)
class Destination:
    """The service that a host name means to a workload, or why it means none."""

    service: Service | None
    port: Port | None
    number: int
    why: str = ""
    hidden: Service | None = None
    """A service that is there and that the workload does not see."""


def destination_of(question: Question, snapshot: MeshSnapshot, one: ProxyClass, scope: Scope) -> Destination:
    """Look the host up as the workload's name resolution and its sidecar do."""
    host = question.host.rstrip(".").lower()
    spelled = _spellings(host, one)
    service = next((scope.by_host[name] for name in spelled if name in scope.by_host), None)
    service = service or next((item for item in scope.services if host in item.addresses), None)
    if service is None and (pattern := most_specific([h for h in scope.by_host if h.startswith("*")], host)):
        service = scope.by_host[pattern]
    number = question.port or _only_port(service) or _PORTS.get(question.scheme, 80)
    if service is not None:
        return Destination(service, service.port(number), number)
    hidden = next((found[0] for name in spelled if (found := snapshot.registry.by_host.get(name))), None)
    if hidden is None:
        return Destination(None, None, number, f"no service of the mesh has the host {host}")
    number = question.port or _only_port(hidden) or number
    if not service_is_visible(snapshot, hidden, one.namespace):
        why = f"{hidden.host} is not exported to the namespace {one.namespace}"
    else:
        why = f"{hidden.host} is none of the hosts that the Sidecar of this workload names"
    return Destination(None, None, number, why, hidden)


def _spellings(host: str, one: ProxyClass) -> list[str]:
    """Full names that a short one may stand for, as a pod's search path does."""
    if one.type is not ProxyType.SIDECAR or host.endswith(f".svc.{one.domain}"):
        return [host]
    dots = host.count(".")
    found = [host]
    if dots == 0:
        found.append(f"{host}.{one.namespace}.svc.{one.domain}")
    elif dots == 1:
        found.append(f"{host}.svc.{one.domain}")
    elif host.endswith(".svc"):
        found.append(f"{host}.{one.domain}")
    return found


def _only_port(service: Service | None) -> int:
    return service.ports[0].number if service is not None and len(service.ports) == 1 else 0
