"""Who gets a first certificate, under which names. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

from citadel.core.caller import AuthenticatedCaller, Proof


class InstallProfile(StrEnum):
    """Where the control plane runs."""

    MACHINE = "machine"
    """Loopback addresses of one stack; NATS without TLS, since nothing leaves the machine."""
    COMPOSE = "compose"
    """Containers that know each other by service name; NATS and PostgreSQL with TLS."""


LARGEST_STACK = 254
PILOT_REPLICAS = 9
"""On one machine the Pilots after the first have the addresses .12 to .20 of their stack."""
SERVICES = ("galley", "pilot", "citadel", "injector")
CLIENTS = ("meshctl",)
NATS = "nats"
POSTGRES = "postgres"
SERVERS = (NATS, POSTGRES)
"""Servers of others, which have a certificate where their connections leave the machine, and do not renew it."""
_HOSTS = {"galley": 1, "pilot": 2, "citadel": 3, "injector": 4, NATS: 5}
_ISTIO_NAMES = {"pilot": ("istiod",), "citadel": ("istiod", "istio-ca"), "injector": ("istio-sidecar-injector",)}
"""Names under which stock clients of Istio look for the service."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What `init` was asked for."""

    trust_domain: str
    profile: InstallProfile = InstallProfile.MACHINE
    stack: int = 1
    root_namespace: str = "istio-system"
    domain: str = "cluster.local"
    extra_names: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        SpiffeId(self.trust_domain, self.root_namespace, "citadel")
        if not 1 <= self.stack <= LARGEST_STACK:
            raise MeshError(ErrorCode.INVALID, f"the stack is 1 to {LARGEST_STACK}, not {self.stack}")
        unknown = set(self.extra_names or {}) - {*SERVICES, *CLIENTS, *SERVERS}
        if unknown:
            raise MeshError(ErrorCode.INVALID, f"--san names no such service: {', '.join(sorted(unknown))}")

    def address(self, service: str) -> str:
        """The loopback address of a service on one machine."""
        return f"127.{self.stack}.255.{_HOSTS[service]}"

    def caller(self, service: str) -> AuthenticatedCaller:
        """The identity and the names of a service's first certificate."""
        identity = SpiffeId(self.trust_domain, self.root_namespace, service)
        return AuthenticatedCaller(identity, Proof.BOOTSTRAP, self._names(service))

    def _names(self, service: str) -> tuple[str, ...]:
        if service in CLIENTS:
            return ()
        names = []
        for short in (service, *_ISTIO_NAMES.get(service, ())):
            inside = f"{short}.{self.root_namespace}"
            names += [short, inside, f"{inside}.svc", f"{inside}.svc.{self.domain}"]
        names += ["localhost", "127.0.0.1", "::1"]
        if self.profile is InstallProfile.MACHINE:
            names.append(self.address(service))
            if service == "pilot":
                names += [f"127.{self.stack}.255.{number}" for number in range(12, 12 + PILOT_REPLICAS)]
        names += (self.extra_names or {}).get(service, ())
        return tuple(dict.fromkeys(names))


def is_of_control_plane(caller: AuthenticatedCaller, root_namespace: str) -> bool:
    """Whether a certificate of `init` is renewed, which keeps its life: a service has host names, a client none."""
    if caller.identity.namespace != root_namespace or caller.proof is not Proof.CERTIFICATE:
        return False
    return bool(caller.names) or caller.identity.service_account in CLIENTS


def parse_extra_name(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `--san service=name,name`; INVALID when it is of another form."""
    service, equals, names = text.partition("=")
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not equals or not service or not found:
        raise MeshError(ErrorCode.INVALID, f"--san wants service=name,..., not {text!r}")
    for name in found:
        _check_name(name)
    return service, found


def _check_name(name: str) -> None:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not name.isascii() or any(not label or len(label) > 63 for label in name.split(".")) or " " in name:
            raise MeshError(ErrorCode.INVALID, f"{name!r} is neither a host name nor an address") from None
